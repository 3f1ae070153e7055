//! Sigstore: which identity or key signed an artifact, when, and who vouches for that.
//!
//! Bytes in, facts out, and facts judged with a time that is an argument; touches no file and no
//! network. The crate `sigstore-verify` does the mathematics of certificates, logs and timestamps, and
//! none of its types leaves this room; whom to trust, and until when, is ours:
//!
//! 1. [`ClaimedBundle`] reads a bundle, or a signature of the older form beside a `.sig` tag; what it
//!    says is claimed and not verified.
//! 2. [`TrustedRoot`] and [`PublicKey`] are what somebody trusts.
//! 3. [`verify`] turns both into a [`VerifiedBundle`]: signer, claims, proven times, log, and what was
//!    not proven. It can be kept and restored, and is judged with registry and Sigstore gone.
//! 4. [`Identity`] and [`TrustedPublicKey`] say what a verified bundle is worth at a time; they need no
//!    bytes.
//!
//! # Caveats
//! The crate reads the machine's clock in three places, and what it makes of it is only ever a refusal:
//! an entry that a log dates ahead of the clock, and a log or timestamp authority whose time in the root
//! has not begun. A clock that is wrong by years cannot make anything verify that would not with a right
//! one, and one that is right later verifies what was refused ([`Code::FromFuture`]). All else that time
//! decides is judged with the time of the caller.
//!
//! Decision: pinned to one version. Its API has changed with every minor release of 2026, and some of
//! its errors tell an authority that is unknown from one that is not in their text only; tests hold
//! these texts.

mod bundle;
mod certificate;
mod error;
mod fault;
mod identity;
mod keyed;
mod keyless;
mod known;
pub mod limits;
mod pattern;
mod public_key;
mod revocation;
mod root;
mod shape;
mod simple;
mod standing;
mod verified;
mod verify;
mod witnesses;

pub use bundle::{Artifact, ClaimedBundle, ClaimedSigner};
pub use error::BundleError;
pub use fault::{Code, Fault, Said};
pub use identity::{ClaimRules, Identity, Mismatch, SubjectRule};
pub use known::{KnownIdentity, KnownPublicKey, Root, SigstoreSigners};
pub use pattern::{Pattern, PatternError, SubjectPattern};
pub use public_key::{PublicKey, PublicKeyError};
pub use revocation::{IdentityRevocation, RevocationError, Window};
pub use root::{RootError, TrustedRoot};
pub use simple::SimpleSignature;
pub use standing::{Circumstances, Refusal, Standing, Transparency, TrustedPublicKey};
pub use verified::{
    Authority, AuthorityKind, BundleRecord, Claims, IdentityRecord, Kind, LogRecord, NotProven,
    ProvenTime, SignerRecord, TimeSource, VerifiedBundle,
};
pub use verify::{Means, verify};
