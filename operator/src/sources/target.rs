//! One address of a source, and where the provenance files of its archives are.

use charttrust_verify::evidence::Place;
use reqwest::Url;

use super::credentials::{Fingerprint, fingerprint};
use super::error::FetchError;
use super::located::Wanted;
use super::origin::Origin;
use super::site::Site;
use super::{ProvenanceAt, Source, urls};

/// What is asked for one version of a chart.
pub(super) struct Target {
    /// Where the archive is.
    pub(super) origin: Origin,
    /// Whether that is the source itself or a mirror.
    pub(super) place: Place,
    /// Where its provenance file is.
    pub(super) proof: Proof,
}

/// Where a provenance file is.
pub(super) enum Proof {
    /// Where the origin has it.
    Beside,
    /// In this folder.
    In(Site),
    /// In this folder, or else where the origin has it.
    InOrBeside(Site),
}

impl Target {
    /// The source itself.
    pub(super) fn main(source: &Source, wanted: Wanted<'_>) -> Result<Self, FetchError> {
        Ok(Self {
            origin: Origin::main(source, wanted)?,
            place: Place::Main,
            proof: folder(source)?.map_or(Proof::Beside, Proof::In),
        })
    }

    /// One of its mirrors, which may have copies of both.
    pub(super) fn mirror(
        source: &Source,
        url: &str,
        wanted: Wanted<'_>,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            origin: Origin::mirror(source, url, wanted)?,
            place: Place::Mirror,
            proof: folder(source)?.map_or(Proof::Beside, Proof::InOrBeside),
        })
    }

    /// Which address its provenance file is of.
    pub(super) fn provenance_place(&self) -> Place {
        match (self.place, &self.proof) {
            (Place::Main, Proof::In(_) | Proof::InOrBeside(_)) => Place::Elsewhere,
            (place, _) => place,
        }
    }

    /// Identity of a fetch from here: whatever decides what is answered.
    pub(super) fn key(&self, wanted: Wanted<'_>) -> Fingerprint {
        let own = self.origin.key(wanted);
        match &self.proof {
            Proof::Beside => own,
            Proof::In(site) => fingerprint(&[&own, b"in", &site.key]),
            Proof::InOrBeside(site) => fingerprint(&[&own, b"in or beside", &site.key]),
        }
    }

    /// Whether an address follows from what was configured and asked for.
    pub(super) fn is_ours(&self, address: &str) -> bool {
        self.origin.is_ours(address)
    }
}

impl Proof {
    /// The folder and the address of the provenance file in it, if it is in one.
    pub(super) fn file(&self, wanted: Wanted<'_>) -> Option<(&Site, Url)> {
        match self {
            Self::Beside => None,
            Self::In(site) | Self::InOrBeside(site) => {
                let name = format!("{}-{}.tgz.prov", wanted.chart, wanted.version);
                Some((site, urls::file(&site.base, &name)))
            }
        }
    }

    /// Whether the origin may have it too.
    pub(super) fn may_be_beside(&self) -> bool {
        matches!(self, Self::Beside | Self::InOrBeside(_))
    }
}

/// The folder that a source names, with credentials of its own: those of the source are not sent there.
fn folder(source: &Source) -> Result<Option<Site>, FetchError> {
    let Some(ProvenanceAt { url, credentials }) = &source.provenance else {
        return Ok(None);
    };
    let invalid = |_| FetchError::InvalidUrl("the URL of the provenance files");
    let base = Url::parse(url).map_err(invalid)?;
    Ok(Some(Site::folder(
        base,
        source.ca.clone(),
        credentials.clone(),
    )))
}
