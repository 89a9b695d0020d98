//! Placement's verdicts as sentences.

use novacron_controlplane_core::State;
use novacron_controlplane_core::placement::{self, Score, Verdict};
use novacron_controlplane_core::vm::Vm;
use novacron_protocol::HostId;
use novacron_protocol::api::host::HostRef;
use novacron_protocol::api::vm::{Explanation, HostVerdict, ScorePart};

use super::view;

/// Why `vm` is where it is, or where it would go; at most `limit` hosts in detail.
pub(crate) fn explain(state: &State, vm: &Vm, limit: usize) -> Explanation {
    let explained = placement::explain(state, vm);
    let is_feasible = |(_, verdict): &&(HostId, Verdict)| matches!(verdict, Verdict::Feasible(_));
    let feasible = explained.hosts.iter().filter(is_feasible).count();
    let verdicts = explained.hosts.iter().filter_map(|(id, verdict)| {
        let host = state.host(*id)?;
        Some(host_verdict(view::host_ref(host), verdict))
    });
    let hosts: Vec<HostVerdict> = verdicts.take(limit).collect();
    let placed_on = explained.placed_on.and_then(|id| state.host(id)).map(view::host_ref);
    let best = hosts.first().filter(|verdict| verdict.score.is_some()).map(|best| &best.host);
    Explanation {
        summary: summary(placed_on.as_ref(), best, feasible, explained.hosts.len()),
        placed_on,
        hosts,
        feasible: count(feasible),
        infeasible: count(explained.hosts.len() - feasible),
    }
}

fn summary(
    placed_on: Option<&HostRef>,
    best: Option<&HostRef>,
    feasible: usize,
    all: usize,
) -> String {
    match (placed_on, best) {
        (Some(here), Some(best)) if here.id == best.id => {
            format!("on host {}, which suits it best of {feasible} that could take it", here.name)
        }
        (Some(here), Some(best)) => {
            format!("on host {}; placed anew, it would go to host {}", here.name, best.name)
        }
        (Some(here), None) => {
            format!("on host {}; placed anew, none of {all} hosts could take it", here.name)
        }
        (None, Some(best)) => format!("goes to host {}, best of {feasible}", best.name),
        (None, None) if all == 0 => "waits: there are no hosts yet".to_owned(),
        (None, None) => format!("waits: none of {all} hosts can take it"),
    }
}

fn host_verdict(host: HostRef, verdict: &Verdict) -> HostVerdict {
    match verdict {
        Verdict::Feasible(score) => HostVerdict {
            sentence: format!(
                "host {} scores {} of 1000: {}",
                host.name,
                score.permille,
                texts(score).join(", ")
            ),
            host,
            score: Some(score.permille),
            parts: score.parts.iter().map(part).collect(),
            against: Vec::new(),
        },
        Verdict::Infeasible(reasons) => {
            let against: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            let sentence = format!("host {} cannot take it: {}", host.name, against.join("; "));
            HostVerdict { host, score: None, sentence, parts: Vec::new(), against }
        }
    }
}

fn texts(score: &Score) -> Vec<&str> {
    score.parts.iter().map(|part| part.text.as_str()).collect()
}

fn part(part: &placement::Part) -> ScorePart {
    ScorePart {
        name: part.name.to_owned(),
        permille: part.permille,
        weight: part.weight,
        text: part.text.clone(),
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
