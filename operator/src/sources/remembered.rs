//! What a source has answered before, for whoever has no time to ask.

use super::claimed::Signatures;
use super::located::Wanted;
use super::origin::Origin;
use super::signatures::{self, Signed};
use super::target::Target;
use super::{Fetched, Fetcher, Source};

impl<T: Send + Sync + 'static> Fetcher<T> {
    /// What a source itself has last sent of a version, however long ago. Nobody is asked, and nobody waited
    /// for: while it is being asked there is nothing to remember.
    pub fn remembered(&self, source: &Source, chart: &str, version: &str) -> Option<Fetched<T>> {
        let wanted = Wanted {
            chart,
            version,
            manifest: None,
        };
        let main = Target::main(source, wanted).ok()?;
        let kept = self.0.fetched.remembered(main.key(wanted))?;
        Some(Fetched::new(kept, &main))
    }

    /// The Sigstore signatures that a source itself has last shown of a chart. Nothing if it was never asked for
    /// them, which is not that there are none.
    pub fn remembered_signatures(&self, source: &Source, signed: Signed<'_>) -> Option<Signatures> {
        let wanted = Wanted {
            chart: signed.chart,
            version: signed.version,
            manifest: None,
        };
        let origin = Origin::main(source, wanted).ok()?;
        let known = self
            .0
            .signatures
            .remembered(signatures::key(&origin, wanted, signed))?;
        Some(known.signatures)
    }
}
