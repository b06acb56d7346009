//! One finding for each question, out of what several servers came to.

use keygate_core::store::Finding;

/// The most servers that are named.
const NAMED: usize = 5;

/// What all came to, the worst first, in the order of the questions.
pub(super) fn fold(of_each: Vec<(String, Vec<Finding>)>) -> Vec<Finding> {
    if of_each.len() < 2 {
        return of_each.into_iter().flat_map(|(_, findings)| findings).collect();
    }
    let mut checks: Vec<&'static str> = Vec::new();
    for finding in of_each.iter().flat_map(|(_, findings)| findings) {
        if !checks.contains(&finding.check) {
            checks.push(finding.check);
        }
    }
    let of_check =
        |check| of_each.iter().filter_map(move |(name, all)| Some((name, all.iter().find(|one| one.check == check)?)));
    checks.into_iter().filter_map(|check| together(check, &of_check(check).collect::<Vec<_>>())).collect()
}

fn together(check: &'static str, found: &[(&String, &Finding)]) -> Option<Finding> {
    let verdict = found.iter().map(|(_, finding)| finding.verdict).max()?;
    let worst: Vec<_> = found.iter().filter(|(_, finding)| finding.verdict == verdict).collect();
    let advice = worst.iter().find_map(|(_, finding)| finding.advice.clone());
    let (_, first) = worst.first()?;
    let is_one = worst.iter().all(|(_, finding)| finding.observed == first.observed);
    let mut observed = if is_one && worst.len() == found.len() {
        format!("each of {} primaries: {}", found.len(), first.observed)
    } else {
        let named: Vec<String> =
            worst.iter().take(NAMED).map(|(name, finding)| named(name, &finding.observed)).collect();
        named.join("; ")
    };
    if worst.len() > NAMED && !is_one {
        observed += &format!("; and {} more", worst.len() - NAMED);
    }
    match found.len() - worst.len() {
        0 => {}
        others => observed += &format!(" ({others} of {} primaries are better)", found.len()),
    }
    let finding = Finding::ok(check, observed);
    Some(match advice {
        Some(advice) => finding.with(verdict, advice),
        // That there is nothing to do is said of what is well alone.
        None => finding,
    })
}

/// Some name the server themselves.
fn named(name: &str, observed: &str) -> String {
    if observed.starts_with(name) { observed.to_owned() } else { format!("{name}: {observed}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, finding: Finding) -> (String, Vec<Finding>) {
        (name.to_owned(), vec![finding])
    }

    #[test]
    fn one_server_speaks_for_itself() {
        let finding = Finding::ok("a", "well");
        assert_eq!(fold(vec![of("x", finding.clone())]), [finding]);
        assert_eq!(fold(vec![]), []);
    }

    #[test]
    fn what_all_say_is_said_once() {
        let all = fold(vec![of("x", Finding::ok("a", "well")), of("y", Finding::ok("a", "well"))]);
        assert_eq!(all, [Finding::ok("a", "each of 2 primaries: well")]);
    }

    #[test]
    fn the_worst_is_named() {
        let ill = Finding::failure("a", "ill", "mend it");
        let all = fold(vec![
            of("x", Finding::ok("a", "well")),
            of("y", ill),
            of("z", Finding::warning("a", "so so", "look")),
        ]);
        assert_eq!(all, [Finding::failure("a", "y: ill (2 of 3 primaries are better)", "mend it")]);
    }

    #[test]
    fn many_are_not_all_named() {
        let all = (0..8).map(|nth| of(&format!("s{nth}"), Finding::ok("a", format!("{nth} ms"))));
        let folded = fold(all.collect());
        assert!(folded[0].observed.ends_with("s4: 4 ms; and 3 more"), "{folded:?}");
    }
}
