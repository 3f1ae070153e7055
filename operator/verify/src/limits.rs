//! Every size, count and depth that foreign bytes are held to, each with the origin of its number.
//!
//! Reaching a limit is never a sign of tampering: the caller reports `LimitExceeded`.

/// What one chart archive may cost. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Largest archive as downloaded. The largest public charts are below 2 MiB; 20 MiB leaves
    /// room for charts that vendor many others.
    pub archive_bytes: usize,
    /// Largest sum of the sizes of all files, subcharts in archives included: Helm's own
    /// `MaxDecompressedChartSize` (`pkg/chart/loader/archive/archive.go`).
    pub file_bytes: u64,
    /// Largest inflated tar stream, headers and padding included: `file_bytes` plus what
    /// `entries` headers with their padding take.
    pub stream_bytes: u64,
    /// Most tar entries, directories and those in vendored archives included. The largest public
    /// charts have about 1,000.
    pub entries: usize,
    /// Longest name of an entry: `PATH_MAX` of Linux.
    pub path_bytes: usize,
    /// Longest name, and longest version, of a chart: `helm package` writes both into the name of one
    /// file, of which file systems take 255 bytes (`NAME_MAX` of Linux). They are kept as long as
    /// anything is known of the archive, and stand in many messages.
    pub name_bytes: usize,
    /// Largest extended header or long name: 64 KiB, where Go's `archive/tar` stops at 1 MiB.
    pub header_bytes: usize,
    /// Largest sum of the files that are parsed (Chart.yaml, Chart.lock, requirements.*,
    /// values.yaml, those of subcharts included): the limit for one file that Helm applied from
    /// 3.17.3 to 3.22 (`MaxDecompressedFileSize`).
    pub document_bytes: usize,
    /// Deepest chain of subcharts, vendored archives included. Helm has none; real charts
    /// have 3.
    pub chart_depth: usize,
    /// Most subcharts in the whole tree. Real umbrella charts have about 60.
    pub charts: usize,
    /// Limits of the parsed documents: depth and text of each, values of all together.
    pub yaml: YamlLimits,
}

/// What one YAML document may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct YamlLimits {
    /// Deepest nesting: well above real charts (about 20), well below what a thread's stack bears
    /// when a value is walked.
    pub depth: usize,
    /// Most values, those repeated by aliases included. A values.yaml of 1 MiB has about 50,000.
    pub nodes: usize,
    /// Most bytes of text in all scalars, those repeated by aliases included: the largest
    /// document, twice.
    pub scalar_bytes: usize,
}

/// What one release record may cost. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// Largest payload as stored: the API server refuses Secrets above 1,048,576 bytes
    /// (`MaxSecretSize`), so nothing honest is larger.
    pub payload_bytes: usize,
    /// Largest inflated JSON. Real records inflate 3 to 8 times; 16 MiB keeps the growth of
    /// memory by a bomb, text copied out of it included, within 32 MiB.
    pub json_bytes: usize,
    /// Longest name, and longest version, of the chart: those of an archive.
    pub name_bytes: usize,
    /// Most templates and files together: those of an archive.
    pub parts: usize,
    /// Most values in the JSON, keys apart. A value of two bytes takes up to 120 in memory. Large
    /// honest records have some 20,000; those of one YAML document fit.
    pub values: usize,
    /// Most objects in the manifest. An object takes at least 100 bytes of it.
    pub objects: usize,
    /// Limits of each document of the manifest that has to be parsed in full.
    pub yaml: YamlLimits,
}

/// What the signed text of a provenance file may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProvenanceLimits {
    /// Largest text in bytes: a provenance file may have 64 KiB with its signature.
    pub bytes: usize,
    /// Most entries under `files`. Helm writes exactly one.
    pub files: usize,
    /// Limits of each of the two documents.
    pub yaml: YamlLimits,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self {
            archive_bytes: 20 * MIB,
            file_bytes: 100 * 1024 * 1024,
            stream_bytes: 128 * 1024 * 1024,
            entries: 10_000,
            path_bytes: 4096,
            name_bytes: NAME_MAX,
            header_bytes: 64 * 1024,
            document_bytes: 5 * MIB,
            chart_depth: 8,
            charts: 256,
            yaml: YamlLimits::default(),
        }
    }
}

impl Default for YamlLimits {
    fn default() -> Self {
        Self {
            depth: 64,
            nodes: 250_000,
            scalar_bytes: 10 * MIB,
        }
    }
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            payload_bytes: MIB,
            json_bytes: 16 * MIB,
            name_bytes: NAME_MAX,
            parts: 10_000,
            values: 250_000,
            objects: 10_000,
            yaml: YamlLimits::default(),
        }
    }
}

impl Default for ProvenanceLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            files: 16,
            yaml: YamlLimits {
                depth: 16,
                nodes: 4096,
                scalar_bytes: 64 * 1024,
            },
        }
    }
}

/// Most subcharts of one archive whose own signatures are asked for. Real umbrella charts have about 60 in the
/// whole tree; each costs requests to a place that the publisher names, and room in what is kept.
pub const MOST_SUBCHARTS: usize = 64;

const MIB: usize = 1024 * 1024;
const NAME_MAX: usize = 255;
