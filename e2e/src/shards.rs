//! Which of many cases a run takes: `make chaos` all of them, another one of so many shards for each commit.

/// Whether this run takes the case of this number: every one with `CHARTTRUST_CHAOS=all`, otherwise those of the shard
/// `CHARTTRUST_CHAOS=K`, so that different commits take different ones.
pub fn is_taken(number: usize, shards: usize) -> bool {
    let asked = std::env::var("CHARTTRUST_CHAOS").unwrap_or_default();
    is_asked(&asked, (number, shards))
}

fn is_asked(asked: &str, (number, shards): (usize, usize)) -> bool {
    let shard = asked.parse::<usize>().unwrap_or_default();
    asked == "all" || number % shards == shard % shards
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_in_one_shard() {
        let of = |asked: &str| {
            (0..7)
                .filter(|number| is_asked(asked, (*number, 3)))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("all"), (0..7).collect::<Vec<_>>());
        assert_eq!(
            [of("0"), of("4"), of("65535")],
            [vec![0, 3, 6], vec![1, 4], vec![0, 3, 6]]
        );
        assert_eq!([of("5"), of("")], [vec![2, 5], vec![0, 3, 6]]);
    }
}
