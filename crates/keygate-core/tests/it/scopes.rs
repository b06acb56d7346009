//! The scope matcher against a reference that knows sets, not patterns.

use keygate_core::scope::{MAX_SCOPE_LENGTH, MAX_SCOPE_SEGMENTS, MAX_SCOPES, Scope, ScopeSet};
use proptest::prelude::*;

use crate::support::{self, scope, scopes};

/// All texts of one to `longest` of these segments.
fn joined(segments: &[&str], longest: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last: Vec<String> = vec![String::new()];
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|head| {
                segments.iter().map(move |next| format!("{head}:{next}").trim_start_matches(':').to_owned())
            })
            .collect();
        all.extend(last.clone());
    }
    all
}

/// Every pattern of up to three segments over `a`, `b` and the wildcards.
fn patterns() -> Vec<String> {
    let heads = joined(&["a", "b", "*"], 3);
    let with_rest = joined(&["a", "b", "*"], 2).into_iter().map(|head| format!("{head}:**"));
    heads.iter().cloned().chain(with_rest).chain(["**".to_owned()]).collect()
}

/// Whether the pattern stands for the concrete text, by the letter of the grammar.
fn stands_for(pattern: &[&str], concrete: &[&str]) -> bool {
    match (pattern, concrete) {
        ([], []) => true,
        (["**"], [_, ..]) => true,
        (["*", pattern @ ..], [_, concrete @ ..]) => stands_for(pattern, concrete),
        ([p, pattern @ ..], [c, concrete @ ..]) if p == c => stands_for(pattern, concrete),
        _ => false,
    }
}

fn meaning(pattern: &str, universe: &[String]) -> Vec<bool> {
    let pattern: Vec<&str> = pattern.split(':').collect();
    universe.iter().map(|concrete| stands_for(&pattern, &concrete.split(':').collect::<Vec<_>>())).collect()
}

#[test]
fn covering_is_being_a_superset() {
    // Two letters, so that `*` is more than any of them; one segment more than any pattern, so that `**` shows.
    let universe = joined(&["a", "b"], 4);
    let patterns: Vec<(Scope, Vec<bool>)> =
        patterns().iter().map(|pattern| (scope(pattern), meaning(pattern, &universe))).collect();
    assert_eq!(patterns.len(), 52);
    for (held, allowed) in &patterns {
        for (asked, wanted) in &patterns {
            let superset = wanted.iter().zip(allowed).all(|(wanted, allowed)| !wanted || *allowed);
            assert_eq!(held.covers(asked), superset, "{held} covers {asked}");
        }
    }
}

#[test]
fn a_pattern_covers_what_it_stands_for_and_nothing_else() {
    let universe = joined(&["a", "b"], 4);
    for pattern in patterns() {
        for (concrete, stands) in universe.iter().zip(meaning(&pattern, &universe)) {
            assert_eq!(scope(&pattern).covers(&scope(concrete)), stands, "{pattern} covers {concrete}");
        }
    }
}

#[test]
fn an_empty_list_grants_nothing() {
    for asked in patterns() {
        assert!(!ScopeSet::empty().covers(&scope(&asked)));
        assert_eq!(ScopeSet::empty().first_uncovered(&scopes(&[&asked])), Some(&scope(&asked)));
    }
    assert!(ScopeSet::empty().first_uncovered(&ScopeSet::empty()).is_none());
}

#[test]
fn a_beginning_is_not_the_whole() {
    for (held, asked) in [
        ("files:/john", "files:/johnathan"),
        ("files:/john", "files:/john:x"),
        ("files:*", "files"),
        ("files:**", "files"),
        ("files:*", "files:a:b"),
        ("Files", "files"),
        ("files", "file"),
        ("a:**", "ab:c"),
    ] {
        assert!(!scope(held).covers(&scope(asked)), "{held} covers {asked}");
    }
}

#[test]
fn only_the_grammar_is_read() {
    let longest = "x".repeat(MAX_SCOPE_LENGTH);
    let most = vec!["s"; MAX_SCOPE_SEGMENTS].join(":");
    for good in ["*", "**", "a", "files:/john/x.txt", "a:*:b:**", "user@example.org:+~-", &longest, &most] {
        assert_eq!(scope(good).as_str(), good);
    }
    let (long, many) = (format!("{longest}x"), format!("{most}:s"));
    for bad in [
        "", ":", "a:", ":a", "a::b", "**:a", "a:**:b", "***", "a*", "*a", "a b", "a\n", "ä", "a,b", "a;b", "[a]", "a?",
        "(a|b)", "^a$", "\0", &long, &many,
    ] {
        assert!(Scope::new(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn meeting_is_the_intersection() {
    let universe = joined(&["a", "b"], 4);
    let patterns: Vec<(Scope, Vec<bool>)> =
        patterns().iter().map(|pattern| (scope(pattern), meaning(pattern, &universe))).collect();
    for (one, ours) in &patterns {
        for (other, theirs) in &patterns {
            let both: Vec<bool> = ours.iter().zip(theirs).map(|(ours, theirs)| *ours && *theirs).collect();
            let met = one.meet(other);
            let meant =
                met.as_ref().map_or_else(|| vec![false; universe.len()], |met| meaning(met.as_str(), &universe));
            assert_eq!(meant, both, "{one} and {other} meet in {met:?}");
            assert_eq!(met, other.meet(one));
            assert!(met.is_none_or(|met| Scope::new(met.as_str()).is_ok()), "{one} and {other}");
        }
    }
    let long = "x".repeat(MAX_SCOPE_LENGTH - 2);
    assert_eq!(scope(&format!("{long}:*")).meet(&scope(&format!("*:{long}"))), None, "no scope is that long");
}

proptest! {
    #![proptest_config(support::property())]

    #[test]
    fn every_scope_covers_itself_and_stars_cover_all(text in "[a-z/.]{1,4}(:[a-z/.]{1,4}){0,5}") {
        let one = scope(&text);
        prop_assert!(one.covers(&one.clone()));
        prop_assert!(one.covers(&scope(&text)));
        prop_assert!(scope("**").covers(&one));
        prop_assert_eq!(scope("*").covers(&one), one.as_str().split(':').count() == 1);
        let reparsed: Scope = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
        prop_assert_eq!(reparsed, one);
    }

    #[test]
    fn covering_is_transitive(
        a in prop::sample::select(patterns()), b in prop::sample::select(patterns()), c in prop::sample::select(patterns()),
    ) {
        let (a, b, c) = (scope(&a), scope(&b), scope(&c));
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c), "{} {} {}", a, b, c);
    }

    #[test]
    fn a_list_covers_what_one_of_it_covers(
        held in prop::collection::vec(prop::sample::select(patterns()), 0..4), asked in prop::sample::select(patterns()),
    ) {
        let any = held.iter().any(|held| scope(held).covers(&scope(&asked)));
        let held: Vec<&str> = held.iter().map(String::as_str).collect();
        prop_assert_eq!(scopes(&held).covers(&scope(&asked)), any);
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,300}") {
        let _ = Scope::new(text);
    }
}

#[test]
fn repeats_are_dropped_and_lists_are_bounded() {
    assert_eq!(scopes(&["a", "b", "a"]).len(), 2);
    let texts: Vec<String> = (0..=MAX_SCOPES).map(|n| format!("s{n}")).collect();
    assert!(ScopeSet::parse(&texts[..MAX_SCOPES]).is_ok());
    assert!(ScopeSet::parse(&texts).is_err());
}
