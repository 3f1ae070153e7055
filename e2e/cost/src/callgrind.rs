//! What callgrind has counted, of its own format (`callgrind-format` in valgrind's manual). Pure.

use std::collections::HashMap;

use super::figures::Cost;

/// Within this function of the tests is counted, and nowhere else.
pub(crate) const MEASURED: &str = "charttrust::cost::measured*";
/// It is called for each time that the work is done.
const ONCE: &str = "charttrust::cost::once";

/// The functions of the allocator that may give memory.
const ALLOCATORS: &[&str] = &[
    "malloc",
    "calloc",
    "realloc",
    "posix_memalign",
    "aligned_alloc",
    "memalign",
];

/// What the work costs each time, in whole numbers; `None` if it was never done.
pub(crate) fn read(text: &str) -> Option<Cost> {
    let instructions = text.lines().find_map(|line| line.strip_prefix("summary: "));
    let instructions: u64 = instructions?.trim().parse().ok()?;
    let calls = calls(text);
    let times = calls.iter().filter(|(name, _)| is(name, ONCE));
    let times: u64 = times.map(|(_, count)| count).sum();
    let allocations = ALLOCATORS.iter().filter_map(|name| calls.get(name));
    let allocations: u64 = allocations.sum();
    let each = |all: u64| u32::try_from(all.checked_div(times)?).ok();
    Some(Cost {
        instructions: each(instructions)?,
        allocations: each(allocations)?,
    })
}

/// A symbol of Rust may end in a hash.
fn is(symbol: &str, name: &str) -> bool {
    let rest = symbol.strip_prefix(name);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::h"))
}

/// How often each function was called, by its name.
fn calls(text: &str) -> HashMap<&str, u64> {
    let (mut names, mut calls) = (HashMap::new(), HashMap::new());
    let mut called = None;
    for line in text.lines() {
        // A name is said once with a number, which stands for it from then on.
        let function = line
            .strip_prefix("cfn=(")
            .or_else(|| line.strip_prefix("fn=("));
        if let Some((number, name)) = function.and_then(|rest| rest.split_once(')')) {
            let name = name.trim();
            if !name.is_empty() {
                names.insert(number, name);
            }
            called = names.get(number).copied();
        } else if let Some(count) = line.strip_prefix("calls=") {
            let count = count
                .split(' ')
                .next()
                .and_then(|count| count.parse::<u64>().ok());
            *calls.entry(called.unwrap_or_default()).or_default() += count.unwrap_or_default();
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What callgrind writes of two times of work that allocates three times, in all.
    const COUNTED: &str = "\
# callgrind format
events: Ir
fn=(1) charttrust::cost::measured
10 4
cfn=(2) charttrust::cost::once
calls=2 0
10 996
fn=(2)
11 6
cob=(2) libc.so.6
cfn=(7) malloc
calls=2 0
11 100
cfn=(8) free
calls=3 0
11 10
fn=(9) charttrust::cost::once_more
cfn=(7)
calls=3 0
12 880
cfn=(10) realloc
calls=1 0
12 1
summary: 1000
totals: 1000
";

    #[test]
    fn cost_is_what_was_counted_for_each_time() {
        let cost = Cost {
            instructions: 500,
            allocations: 3,
        };
        assert_eq!(read(COUNTED), Some(cost));
        let hashed = COUNTED.replace("cost::once\n", "cost::once::h0123456789abcdef\n");
        assert_eq!(read(&hashed), Some(cost));
    }

    #[test]
    fn what_was_never_done_costs_nothing_that_is_known() {
        assert_eq!(
            read(&COUNTED.replace("cost::once\n", "cost::never\n")),
            None
        );
        assert_eq!(read(&COUNTED.replace("summary: ", "nothing: ")), None);
        assert_eq!(read(""), None);
    }
}
