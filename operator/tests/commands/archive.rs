//! One archive of a chart, for tests of whatever reads archives.

use flate2::Compression;
use flate2::write::GzEncoder;

/// A chart's archive whose only file is this `Chart.yaml`.
pub(crate) fn packed(chart: &str, yaml: &str) -> Vec<u8> {
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(yaml.len() as u64);
    let path = format!("{chart}/Chart.yaml");
    packed
        .append_data(&mut header, path, yaml.as_bytes())
        .unwrap();
    packed.into_inner().unwrap().finish().unwrap()
}
