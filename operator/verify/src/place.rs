//! Who has said something on behalf of a source.

/// Which address of a source has said something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The configured URL.
    #[default]
    Main,
    /// Where the policy says that statements are: not where the archive lies. Until trust has rested on a
    /// statement of it, it shows at worst that there is no proof.
    Elsewhere,
    /// A mirror. It can add trust; whatever else it says counts as silence of the source.
    Mirror,
}
