//! Writes DER: as much of it as certificates and timestamps need.

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
        long => {
            let bytes = long.to_be_bytes();
            let bytes: Vec<_> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap());
            out.extend(bytes);
        }
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

pub(crate) fn oid(text: &str) -> Vec<u8> {
    let mut numbers = text.split('.').map(|number| number.parse::<u64>().unwrap());
    let first = numbers.next().unwrap() * 40 + numbers.next().unwrap();
    let mut content = Vec::new();
    for number in std::iter::once(first).chain(numbers) {
        let mut rest = number >> 7;
        let mut bytes = vec![u8::try_from(number & 0x7f).unwrap()];
        while rest > 0 {
            bytes.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
            rest >>= 7;
        }
        content.extend(bytes.into_iter().rev());
    }
    tlv(6, &content)
}

pub(crate) fn int(number: u8) -> Vec<u8> {
    assert!(number < 0x80, "a small positive one");
    tlv(2, &[number])
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(4, content)
}

pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], content].concat())
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tlv(0x0c, text.as_bytes())
}

pub(crate) fn truth() -> Vec<u8> {
    tlv(1, &[0xff])
}

/// `[number] EXPLICIT`, and of constructed content `IMPLICIT`.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// `GeneralizedTime`, in which every year can be written.
pub(crate) fn general_time(at: jiff::Timestamp) -> Vec<u8> {
    tlv(0x18, at.strftime("%Y%m%d%H%M%SZ").to_string().as_bytes())
}

/// The time of a certificate: the short form until 2049 (RFC 5280 section 4.1.2.5).
pub(crate) fn time(at: jiff::Timestamp) -> Vec<u8> {
    let year: u32 = at.strftime("%Y").to_string().parse().unwrap();
    if (1950..2050).contains(&year) {
        tlv(0x17, at.strftime("%y%m%d%H%M%SZ").to_string().as_bytes())
    } else {
        general_time(at)
    }
}
