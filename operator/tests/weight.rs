//! What hostile sources cost in memory. A program of its own, whose memory is read off the process: what one
//! source makes the operator hold, it takes from everybody.

use std::fmt::Write as _;
use std::sync::Arc;

use charttrust::evidence;
use charttrust::sources::{Asked, Cause, Fetcher, Limits, Reader, Settings, Source};
use charttrust_verify::digest::Digested;
use charttrust_verify::evidence::Claimed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MIB: usize = 1 << 20;

/// One after the other: they share a process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_source_costs_little_memory() {
    indexes_take_little_whatever_they_are_made_of().await;
    heads_of_answers_are_not_kept().await;
    long_texts_of_charts_count_as_what_they_take().await;
    long_tokens_are_not_kept_without_bound().await;
}

/// A beginning, a piece that is sent again and again until the limit of an index is nearly reached, and an end.
type Shape = (
    &'static str,
    &'static str,
    fn(usize) -> String,
    &'static str,
);

const SHAPES: &[Shape] = &[
    (
        "a text",
        "apiVersion: v1\ndescription: \"",
        letters,
        "\"\nentries: {}\n",
    ),
    (
        "a text without quotes",
        "apiVersion: v1\ndescription: ",
        letters,
        "\nentries: {}\n",
    ),
    (
        "a block",
        "apiVersion: v1\ndescription: |\n",
        lines,
        "entries: {}\n",
    ),
    ("a comment", "apiVersion: v1\n#", letters, "\nentries: {}\n"),
    (
        "a key",
        "apiVersion: v1\n? ",
        letters,
        "\n: x\nentries: {}\n",
    ),
    (
        "a version",
        "apiVersion: v1\nentries:\n  a:\n  - version: ",
        letters,
        "\n",
    ),
    (
        "an address",
        "apiVersion: v1\nentries:\n  a:\n  - urls: [\"",
        letters,
        "\"]\n",
    ),
    (
        "an entry",
        "apiVersion: v1\nentries:\n  a:\n  - x:\n",
        items,
        "\n",
    ),
    ("charts", "apiVersion: v1\nentries:\n", charts, "\n"),
    (
        "a text of JSON",
        r#"{"apiVersion":"v1","x":""#,
        letters,
        r#"","entries":{}}"#,
    ),
    (
        "a version of JSON",
        r#"{"apiVersion":"v1","entries":{"a":[{"version":""#,
        letters,
        r#""}]}}"#,
    ),
    (
        "charts of JSON",
        r#"{"apiVersion":"v1","entries":{"#,
        charts_of_json,
        r#""a":[]}}"#,
    ),
    (
        "values of JSON",
        r#"{"apiVersion":"v1","x":["#,
        numbers,
        r#"0],"entries":{}}"#,
    ),
];

fn letters(_: usize) -> String {
    "x".repeat(1024)
}

fn lines(_: usize) -> String {
    format!("  {}\n", "x".repeat(1021))
}

fn items(number: usize) -> String {
    format!("    - {number:08}\n").repeat(64)
}

fn numbers(_: usize) -> String {
    "0,".repeat(512)
}

fn charts(number: usize) -> String {
    (0..64).fold(String::new(), |mut text, one| {
        let _ = writeln!(text, "  {:x}:", number * 64 + one);
        text
    })
}

fn charts_of_json(number: usize) -> String {
    (0..64).fold(String::new(), |mut text, one| {
        let _ = write!(text, "\"{:x}\":[],", number * 64 + one);
        text
    })
}

async fn indexes_take_little_whatever_they_are_made_of() {
    let mut heavy = Vec::new();
    for &(name, first, piece, last) in SHAPES {
        let url = serve(move |_, stream| Box::pin(index(stream, first, piece, last))).await;
        let fetcher = fetcher();
        let before = reset_peak();
        let begun = charttrust::clock::tick();
        let answer = fetcher.fetch(&source(&url), "payments", "2.4.1").await;
        let grown = peak().saturating_sub(before) / MIB;
        let took = begun.elapsed();
        println!("{name}: {grown} MiB, {took:?}, {:?}", answer.as_ref().err());
        let cause = answer.unwrap_err().cause();
        if grown > 96 || took.as_secs() > 60 || cause != Cause::LimitExceeded {
            heavy.push((name, grown, took, cause));
        }
    }
    assert!(heavy.is_empty(), "{heavy:?}");
}

async fn index(
    mut stream: TcpStream,
    first: &'static str,
    piece: fn(usize) -> String,
    last: &'static str,
) -> std::io::Result<()> {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        .await?;
    stream.write_all(first.as_bytes()).await?;
    let (mut sent, mut number) = (0, 0);
    while sent < 64 * MIB - 4096 {
        let pieces: String = (number..number + 64).map(piece).collect();
        let room = 64 * MIB - 4096 - sent;
        let pieces = if pieces.len() > room {
            piece(number)
        } else {
            pieces
        };
        stream.write_all(pieces.as_bytes()).await?;
        (sent, number) = (sent + pieces.len(), number + 64);
    }
    stream.write_all(last.as_bytes()).await?;
    stream.shutdown().await
}

/// So many charts are asked for; what each of them leaves behind adds up.
const CHARTS: usize = 200;

async fn heads_of_answers_are_not_kept() {
    for (name, tag) in [
        ("a long entity tag", 300 * 1024),
        ("a short one in a long head", 10),
    ] {
        let url = serve(move |head, stream| Box::pin(tagged(head, stream, tag))).await;
        let (fetcher, before) = (fetcher(), memory("VmRSS:"));
        for chart in 0..CHARTS {
            let chart = format!("c{chart}");
            let fetched = fetcher.fetch(&source(&url), &chart, "1.0.0").await;
            fetched.unwrap();
        }
        let grown = memory("VmRSS:").saturating_sub(before) / MIB;
        println!("{name}: {grown} MiB");
        assert!(grown < 64, "{name}: {grown} MiB for {CHARTS} charts");
        drop(fetcher);
    }
}

/// The index of a repository of so many charts.
fn listing(charts: usize) -> Vec<u8> {
    let entry = |n| format!("  c{n}:\n  - {{version: 1.0.0, urls: [c{n}.tgz]}}\n");
    let entries: String = (0..charts).map(entry).collect();
    format!("apiVersion: v1\nentries:\n{entries}").into_bytes()
}

async fn tagged(head: String, mut stream: TcpStream, tag: usize) -> std::io::Result<()> {
    let asked = head.split(' ').nth(1).unwrap_or_default();
    let body = if asked == "/index.yaml" {
        listing(CHARTS)
    } else {
        b"\x1f\x8b\x08 an archive".to_vec()
    };
    let length = body.len();
    let (tag, other) = (
        "t".repeat(tag),
        "x".repeat(300 * 1024 - tag.min(300 * 1024)),
    );
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\netag: \"{tag}\"\r\nx-other: {other}\r\n\
         connection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

/// Charts whose Chart.yaml has megabytes that compress to nothing.
async fn long_texts_of_charts_count_as_what_they_take() {
    const MANY: usize = 36;
    let archive = Arc::new(packed(&"x".repeat(5 * MIB - 1024)));
    let url = serve(move |head, mut stream| {
        let archive = Arc::clone(&archive);
        Box::pin(async move {
            let body = match head.split(' ').nth(1).unwrap_or_default() {
                "/index.yaml" => listing(MANY),
                path if path.ends_with(".tgz") => archive.to_vec(),
                _ => Vec::new(),
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await?;
            stream.shutdown().await
        })
    })
    .await;
    let fetcher = evidence::fetcher(settings());
    let before = memory("VmRSS:");
    for chart in 0..MANY {
        let (chart, source) = (format!("c{chart}"), source(&url));
        let claimed = Claimed {
            chart: &chart,
            version: "1.0.0",
        };
        let gathered = evidence::gather(&fetcher, &source, claimed, Asked::now()).await;
        assert!(
            matches!(gathered, evidence::Gathered::Found(_)),
            "{gathered:?}"
        );
    }
    let grown = memory("VmRSS:").saturating_sub(before) / MIB;
    println!("long texts of charts: {grown} MiB");
    assert!(grown < 140, "{grown} MiB for {MANY} charts");
}

/// An archive of one file.
fn packed(description: &str) -> Vec<u8> {
    use std::io::Write as _;
    let yaml = format!("apiVersion: v2\nname: c\nversion: 1.0.0\ndescription: {description}\n");
    let mut header = [0_u8; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"c/Chart.yaml");
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", yaml.len()).as_bytes());
    put(136, b"00000000012\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend(yaml.as_bytes());
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

/// A registry that hands out tokens of 200 KiB, one for each chart.
async fn long_tokens_are_not_kept_without_bound() {
    let url = serve(|head, stream| Box::pin(registry(head, stream))).await;
    let url = url.replace("http://", "oci://");
    let (fetcher, before) = (fetcher(), memory("VmRSS:"));
    for chart in 0..CHARTS {
        let chart = format!("c{chart}");
        let asked = fetcher.fetch(&source(&url), &chart, "1.0.0").await;
        asked.unwrap_err();
    }
    let grown = memory("VmRSS:").saturating_sub(before) / MIB;
    println!("long tokens: {grown} MiB");
    assert!(grown < 40, "{grown} MiB for {CHARTS} charts");
}

async fn registry(head: String, mut stream: TcpStream) -> std::io::Result<()> {
    let address = stream.local_addr()?;
    let answer = if head.contains("/token?") {
        let token = format!(
            "{{\"token\":\"{}\",\"expires_in\":3600}}",
            "t".repeat(200 * 1024)
        );
        format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}",
            token.len()
        )
    } else if head.to_ascii_lowercase().contains("authorization: bearer") {
        "HTTP/1.1 500 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    } else {
        format!(
            "HTTP/1.1 401 No\r\nwww-authenticate: Bearer realm=\"http://{address}/token\"\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        )
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

type Answered = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// A server that hands each connection over with the head of its request.
async fn serve(answer: impl Fn(String, TcpStream) -> Answered + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let Some(head) = head(&mut stream).await else {
                    return;
                };
                // The client may hang up at any time.
                let _ = answer(head, stream).await;
            });
        }
    });
    url
}

async fn head(stream: &mut TcpStream) -> Option<String> {
    let (mut head, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream
            .read(&mut piece)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        head.extend(&piece[..read]);
        // Who does not speak TLS answers its beginning in plain text.
        if head.first() == Some(&0x16) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return None;
        }
    }
    String::from_utf8(head).ok()
}

fn settings() -> Settings {
    Settings {
        allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
        auth_hosts: Vec::new(),
        limits: Limits::default(),
        user_agent: "charttrust/test".to_owned(),
    }
}

fn fetcher() -> Fetcher<()> {
    let reader = Reader {
        read: Arc::new(|_: &Digested<'_>| ()),
        cost: |()| 0,
    };
    Fetcher::new(settings(), reader)
}

fn source(url: &str) -> Source {
    Source {
        url: url.to_owned(),
        mirrors: Vec::new(),
        credentials: None,
        ca: None,
    }
}

/// Has the greatest memory measured from now on; gives what is taken now.
fn reset_peak() -> usize {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    memory("VmRSS:")
}

fn peak() -> usize {
    memory("VmHWM:")
}

/// A line of `/proc/self/status`, in bytes.
fn memory(field: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .unwrap();
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse().unwrap();
    kib * 1024
}
