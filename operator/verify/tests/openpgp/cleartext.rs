//! The splitter of cleartext messages: what is accepted, what is refused, and the canonical text.

use std::time::{Duration, Instant};

use charttrust_verify::openpgp::{CleartextError, Code, parse_cleartext, verify};
use pgp::composed::CleartextSignedMessage;

use crate::forge::{
    Key, Shape, Sig, TEXT, armored, day, hashed_text, message_of, packet, text_signature,
    text_vector,
};

/// A good message to be changed as text.
fn good() -> String {
    message_of(
        TEXT,
        &[text_signature(&Key::ed25519(1), day(10), |sig| sig)],
    )
}

fn refused(text: &str) -> CleartextError {
    match parse_cleartext(text.as_bytes()) {
        Ok(message) => panic!("accepted {text:?} as {:?}", message.text()),
        Err(error) => error,
    }
}

/// Asserts that the message is read, verifies, and has the very text that rPGP hashes.
fn accepted(text: &str) -> String {
    let message =
        parse_cleartext(text.as_bytes()).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    let certificate = Shape::good().load();
    let word = verify(&message, &message.signatures()[0], &certificate).err();
    assert_eq!(word, None, "{text:?}");
    assert_same_text_as_rpgp(text, message.text());
    message.text().to_owned()
}

fn assert_same_text_as_rpgp(file: &str, text: &str) {
    let (theirs, _) = CleartextSignedMessage::from_string(file.trim_end()).expect("rPGP reads it");
    assert_eq!(theirs.signed_text(), text.replace('\n', "\r\n"));
}

#[test]
fn a_plain_message_is_read() {
    assert_eq!(accepted(&good()), TEXT);
}

#[test]
fn the_text_of_real_messages_is_the_one_that_rpgp_hashes() {
    for name in [
        "rsa2048.prov",
        "ed25519.prov",
        "split.prov",
        "hash-sha1.prov",
        "helm-msgblock.yaml.asc",
        "helm-hashtest-1.2.3.tgz.prov",
    ] {
        let file = text_vector(name);
        let message = parse_cleartext(file.as_bytes()).unwrap();
        assert_same_text_as_rpgp(&file, message.text());
    }
    let text = parse_cleartext(text_vector("rsa2048.prov").as_bytes()).unwrap();
    assert!(
        text.text().contains("\n- a line that begins with a dash\n"),
        "unescaped"
    );
    assert!(text.text().contains("trailing blanks\n"), "trimmed");
}

#[test]
fn harmless_differences_are_accepted() {
    let good = good();
    for (name, text) in [
        ("CRLF", good.replace('\n', "\r\n")),
        ("no Hash header", good.replace("Hash: SHA512\n", "")),
        ("another Hash header", good.replace("SHA512", "SHA256")),
        ("a weak Hash header", good.replace("SHA512", "MD5")),
        ("two hashes", good.replace("SHA512", "SHA256,SHA512")),
        (
            "two hashes and a space",
            good.replace("SHA512", "SHA256, SHA512"),
        ),
        (
            "two Hash headers",
            good.replace("Hash: SHA512\n", "Hash: SHA256\nHash: SHA512\n"),
        ),
        (
            "blanks in the empty line",
            good.replacen("\n\n", "\n \t\n", 1),
        ),
        (
            "trailing blanks in the text",
            good.replace("plain\n", "plain \t \n"),
        ),
        ("a needless escape", good.replace("name:", "- name:")),
        (
            "headers in the armor",
            good.replace(
                "SIGNATURE-----\n\n",
                "SIGNATURE-----\nVersion: x\nComment: y\n\n",
            ),
        ),
        (
            "a wrong checksum",
            good.replace("-----END", "=AAAA\n-----END"),
        ),
        ("no last line end", good.trim_end().to_owned()),
        ("one more line end", format!("{good}\n")),
        ("63 more line ends", format!("{good}{}", "\n".repeat(63))),
        ("64 more line ends", format!("{good}{}", "\n".repeat(64))),
        ("blanks and line ends", format!("{good} \t\r\n \r\n")),
    ] {
        let text =
            std::panic::catch_unwind(|| accepted_text(&text)).unwrap_or_else(|_| panic!("{name}"));
        assert_eq!(text, TEXT, "{name}");
    }
}

/// As [`accepted`], without rPGP, which refuses some of these files.
fn accepted_text(text: &str) -> String {
    let message = parse_cleartext(text.as_bytes()).unwrap();
    let word = verify(&message, &message.signatures()[0], &Shape::good().load()).err();
    assert_eq!(word, None);
    message.text().to_owned()
}

#[test]
fn unsigned_text_before_the_message_is_refused() {
    for before in ["files:\n", "\n", " ", "\u{feff}", "\t", "# note\n", "- "] {
        let error = refused(&format!("{before}{}", good()));
        assert!(
            matches!(
                error,
                CleartextError::NotCleartext | CleartextError::ControlCharacter { .. }
            ),
            "{before:?}"
        );
    }
    for changed in [
        "-----BEGIN PGP SIGNED MESSAGE----- ",
        "-----BEGIN PGP SIGNED MESSAGE",
        "-----BEGIN PGP MESSAGE-----",
    ] {
        let text = good().replace("-----BEGIN PGP SIGNED MESSAGE-----", changed);
        assert_eq!(refused(&text), CleartextError::NotCleartext);
    }
    for text in ["", "\n", "<html></html>", "name: plain\n"] {
        assert_eq!(refused(text), CleartextError::NotCleartext);
    }
}

#[test]
fn unsigned_text_after_the_message_is_refused() {
    for after in [
        "files:\n",
        "x",
        "\n\nfiles: {}\n",
        &good(),
        "-----BEGIN PGP SIGNATURE-----\n",
        "\u{a0}",
        ".",
    ] {
        assert_eq!(
            refused(&format!("{}{after}", good())),
            CleartextError::TextAfterEnd,
            "{after:?}"
        );
    }
    let two_blocks = {
        let block = good()
            .split_once("-----BEGIN PGP SIGNATURE")
            .unwrap()
            .1
            .to_owned();
        format!("{}-----BEGIN PGP SIGNATURE{block}", good())
    };
    assert_eq!(refused(&two_blocks), CleartextError::TextAfterEnd);
}

#[test]
fn only_hash_headers_with_known_names_may_stand_there() {
    for header in [
        "Comment: x",
        "Version: x",
        "Charset: UTF-8",
        "NotDashEscaped: You need GnuPG to verify this message",
        "SaltedHash: SHA512:abc",
        "Hash: ",
        "Hash:",
        "Hash:SHA512",
        "hash: SHA512",
        "Hash: sha512",
        "Hash: SHA-512",
        "Hash: WHIRLPOOL",
        "Hash: SHA512,",
        "Hash: SHA512 SHA256",
        "Hash: SHA512\tfiles: {}",
        "Hash: SHA512 files: {}",
        " Hash: SHA512",
        "Hash: SHA512\n files: {}",
        "files: {}",
    ] {
        let text = good().replace("Hash: SHA512", header);
        assert_eq!(refused(&text), CleartextError::Header, "{header:?}");
    }
    let no_empty_line = good().replacen("\n\n", "\n", 1);
    assert_eq!(refused(&no_empty_line), CleartextError::Header);
}

#[test]
fn characters_that_programs_understand_differently_are_refused() {
    let controls = (0u32..0x20)
        .chain(0x7f..0xa0)
        .chain([0x2028, 0x2029, 0xfeff]);
    for code in controls.filter(|code| !matches!(code, 0x09 | 0x0a)) {
        let character = char::from_u32(code).unwrap();
        for text in [
            good().replace("name", &format!("na{character}me")),
            good().replace("plain\n", &format!("plain{character} \n")),
            good().replace("SHA512", &format!("SHA512{character}files")),
            good().replacen("\n\n", &format!("\n{character} \n"), 1),
            format!("{}{character} ", good()),
        ] {
            let error = refused(&text);
            assert!(
                matches!(error, CleartextError::ControlCharacter { .. }),
                "U+{code:04X}: {error}"
            );
        }
    }
    let line = refused(&good().replace("version", "\u{b}version"));
    assert_eq!(line, CleartextError::ControlCharacter { line: 5 });
    let two_returns = good().replace("plain\n", "plain\r\r\n");
    assert!(matches!(
        refused(&two_returns),
        CleartextError::ControlCharacter { .. }
    ));
    let mut bytes = good().into_bytes();
    bytes.insert(60, 0xff);
    assert_eq!(
        parse_cleartext(&bytes).unwrap_err(),
        CleartextError::NotUtf8
    );
}

#[test]
fn other_unicode_is_text_like_any_other() {
    let text = "description: \u{e9}\u{4e2d}\u{1f600}\u{a0}\u{3000}\nname: x";
    let file = message_of(
        text,
        &[Sig::new(1, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[&hashed_text(text)])],
    );
    assert_eq!(
        accepted_text(&file),
        text,
        "only spaces and tabs are trimmed"
    );
}

#[test]
fn a_dash_at_the_beginning_of_a_line_is_escaped_or_refused() {
    for line in [
        "-",
        "--",
        "---",
        "-x",
        "-\t",
        "-----",
        "-----BEGIN PGP SIGNED MESSAGE-----",
        "-----BEGIN PGP SIGNATURE----- ",
        "-----END PGP SIGNATURE-----",
    ] {
        let text = good().replace("name:", &format!("{line}\nname:"));
        assert_eq!(refused(&text), CleartextError::DashNotEscaped, "{line:?}");
    }
    let text = "- a\n-----BEGIN PGP SIGNATURE-----\n- - b\n--";
    let body = Sig::new(1, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[&hashed_text(text)]);
    assert_eq!(accepted(&message_of(text, &[body])), text);
}

#[test]
fn a_message_without_an_end_is_refused() {
    let good = good();
    let text = good.split_once("-----BEGIN PGP SIGNATURE").unwrap().0;
    assert_eq!(refused(text), CleartextError::Unterminated);
    assert_eq!(
        refused("-----BEGIN PGP SIGNED MESSAGE-----\n"),
        CleartextError::Unterminated
    );
    assert_eq!(
        refused("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n"),
        CleartextError::Unterminated
    );
    let text = good.replace("-----END PGP SIGNATURE-----\n", "");
    assert!(matches!(refused(&text), CleartextError::Armor(_)));
    let text = good.replace("-----END PGP SIGNATURE-----", "-----END PGP MESSAGE-----");
    assert!(matches!(refused(&text), CleartextError::Armor(_)));
    let text = good.replace("SIGNATURE-----\n\n", "SIGNATURE-----\n\n!");
    assert!(matches!(refused(&text), CleartextError::Armor(_)));
}

/// A message the signature block of which has these bytes.
fn with_block(packets: &[u8]) -> String {
    let head = good()
        .split_once("-----BEGIN PGP SIGNATURE")
        .unwrap()
        .0
        .to_owned();
    format!("{head}{}", armored("PGP SIGNATURE", packets))
}

#[test]
fn the_signature_block_holds_signatures_and_nothing_else() {
    let body = text_signature(&Key::ed25519(1), day(10), |sig| sig);
    let signature = packet(2, &body);
    for tag in [
        0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 17, 18, 20, 21, 40, 63,
    ] {
        for block in [
            [packet(tag, b"PGP"), signature.clone()].concat(),
            [signature.clone(), packet(tag, b"PGP")].concat(),
        ] {
            assert_eq!(
                refused(&with_block(&block)),
                CleartextError::UnexpectedPacket { tag }
            );
        }
    }
    assert_eq!(refused(&with_block(&[])), CleartextError::NoSignature);
    let cut = &signature[..signature.len() - 1];
    assert!(matches!(
        refused(&with_block(cut)),
        CleartextError::Packets(_)
    ));
    let junk = [signature.as_slice(), b"files: {}"].concat();
    assert!(matches!(
        refused(&with_block(&junk)),
        CleartextError::Packets(_)
    ));
}

#[test]
fn one_to_eight_signatures_are_read() {
    let signature = packet(2, &text_signature(&Key::ed25519(1), day(10), |sig| sig));
    for count in [1, 2, 8] {
        let message = parse_cleartext(with_block(&signature.repeat(count)).as_bytes()).unwrap();
        assert_eq!(message.signatures().len(), count);
    }
    let error = refused(&with_block(&signature.repeat(9)));
    assert_eq!(error, CleartextError::TooManySignatures { limit: 8 });
}

#[test]
fn an_empty_text_is_a_text() {
    let body = Sig::new(1, &Key::ed25519(1), day(10)).sign(&Key::ed25519(1), &[b""]);
    let file = message_of("", &[body]);
    assert_eq!(accepted_text(&file), "");
    let file = file.replacen("\n\n\n", "\n\n", 1);
    assert_eq!(accepted_text(&file), "");
}

#[test]
fn a_file_has_a_largest_size() {
    let padded = |size: usize| {
        let good = good();
        let rest = size - good.len() - 1;
        good.replacen("name", &format!("{}\nname", "x".repeat(rest)), 1)
    };
    let limit = 64 * 1024;
    assert_eq!(padded(limit).len(), limit);
    assert!(parse_cleartext(padded(limit).as_bytes()).is_ok());
    assert_eq!(
        refused(&padded(limit + 1)),
        CleartextError::TooLarge { limit }
    );
}

#[test]
fn a_file_has_a_most_number_of_lines() {
    let padded = |lines: usize| {
        let more = lines - good().lines().count();
        good().replacen("name", &format!("{}name", "\n".repeat(more)), 1)
    };
    assert_eq!(padded(4096).lines().count(), 4096);
    assert!(parse_cleartext(padded(4096).as_bytes()).is_ok());
    assert_eq!(
        refused(&padded(4097)),
        CleartextError::TooManyLines { limit: 4096 }
    );
}

#[test]
fn hostile_files_are_answered_quickly() {
    let begin = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    let files = [
        format!("{begin}\n{}", "\n".repeat(65_000)),
        format!("{begin}\n{}", "--\n".repeat(4000)),
        format!("{begin}{}", "Hash: SHA512\n".repeat(4000)),
        format!("{begin}{}", "Hash: SHA512\n".repeat(200_000)),
        format!("{begin}Hash: {}", "SHA512,".repeat(9000)),
        format!("{begin}\n{}", "\n".repeat(1 << 20)),
        format!("{begin}\n{}", " ".repeat(65_000)),
        format!("{begin}\n{}", "- ".repeat(32_000)),
        format!(
            "{begin}\n-----BEGIN PGP SIGNATURE-----\n\n{}",
            "A\n".repeat(4000)
        ),
    ];
    for file in files {
        let started = Instant::now();
        assert!(parse_cleartext(file.as_bytes()).is_err());
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "{:?}",
            started.elapsed()
        );
    }
}

#[test]
fn a_message_for_another_text_does_not_verify() {
    for change in [
        "plain->plaim",
        "0.1.0\n->0.1.1\n",
        "\n\n->\n",
        "name->Name",
        "00->0",
    ] {
        let (from, to) = change.split_once("->").unwrap();
        let (head, tail) = good()
            .split_once("name:")
            .map(|(a, b)| (a.to_owned(), format!("name:{b}")))
            .unwrap();
        let text = format!("{head}{}", tail.replacen(from, to, 1));
        let message = parse_cleartext(text.as_bytes()).unwrap();
        let word = verify(&message, &message.signatures()[0], &Shape::good().load()).unwrap_err();
        assert_eq!(word, Code::BadSignature, "{change:?}");
    }
}
