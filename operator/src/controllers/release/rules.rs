//! Which rules decide about a chart of a release, and what they want to be asked for.

use charttrust_verify::policy::{Dependencies, Rule};

use crate::controllers::context::Context;
use crate::controllers::store::Trust;
use crate::evidence::Forms;
use crate::inventory::ReleaseId;

/// The rules of all policies that look for something.
pub(super) fn deciding<'a>(
    context: &Context,
    trust: &'a Trust,
    id: &ReleaseId,
    chart: &str,
) -> Vec<&'a Rule> {
    let placed = context.cache.placed(id);
    let reference = placed.reference();
    let policies = trust.policies.values();
    let policies = policies.filter(|loaded| !loaded.policy.suspended);
    let rules = policies.filter_map(|loaded| loaded.policy.rule_for(&reference, chart)?.ok());
    rules.collect()
}

/// Those that ask for signatures of the subcharts of a chart.
pub(super) fn of_subcharts<'a>(
    context: &Context,
    trust: &'a Trust,
    id: &ReleaseId,
    chart: &str,
) -> Vec<&'a Rule> {
    let mut rules = deciding(context, trust, id, chart);
    rules.retain(|rule| rule.verify.dependencies == Dependencies::Verify);
    rules
}

/// Which signatures a source is asked for, by those rules that name it.
pub(super) fn forms(rules: &[&Rule], url: &str, trust: &Trust) -> Forms {
    let names_it = |rule: &&&Rule| rule.sources.iter().any(|source| source.url == url);
    let naming: Vec<_> = rules.iter().filter(names_it).copied().collect();
    Forms::of(&naming, &trust.sigstore)
}
