//! What some rules allow and others do not.
//!
//! A short rule allows a great many things: each of its verbs, on each resource of each group, by each name. So
//! the values of its lists are not compared one by one: those that the same owned rules have are one class, and
//! classes are compared. What is looked at and what is listed both have an end; past it, the answer is that
//! something is missing.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use super::rule::{ALL, Rule, url_matches};

/// How much is looked at, in owned rules compared. It takes some tens of milliseconds.
const WORK: usize = 5_000_000;
/// How much is listed, in bytes of the values.
const LISTED: usize = 64 * 1024;

/// What the wanted rules allow and the owned ones do not.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// One rule for each resource (by its group and its name), or for each verb on a path.
    pub(super) rules: Vec<Rule>,
    /// Whether there is, or may be, more than that.
    pub(super) is_cut: bool,
}

impl Missing {
    pub(super) fn is_nothing(&self) -> bool {
        self.rules.is_empty() && !self.is_cut
    }
}

/// Compares rules. Order is that of the wanted ones, as far as nothing is cut.
pub(super) fn missing(owned: &[Rule], wanted: &[Rule]) -> Missing {
    let owned = Owned::new(owned);
    let mut found = Found {
        work: WORK,
        room: LISTED,
        at: HashMap::new(),
        listed: HashSet::new(),
        missing: Missing::default(),
    };
    for rule in wanted {
        found.resources(&owned, rule);
        found.urls(&owned, rule);
    }
    found.missing
}

/// The numbers of owned rules, in order.
type Owners = Vec<usize>;

/// Which owned rules have a value in one of their lists.
struct Values<'a> {
    of: HashMap<&'a str, Owners>,
    /// Those that have every value.
    any: Owners,
}

impl<'a> Values<'a> {
    fn new(
        rules: &'a [Rule],
        list: impl Fn(&'a Rule) -> &'a [String],
        has_any: impl Fn(&[String]) -> bool,
    ) -> Self {
        let (mut of, mut any): (HashMap<&str, Owners>, _) = (HashMap::new(), Vec::new());
        for (number, rule) in rules.iter().enumerate() {
            let list = list(rule);
            if has_any(list) {
                any.push(number);
                continue;
            }
            for value in list {
                let owners = of.entry(value.as_str()).or_default();
                if owners.last() != Some(&number) {
                    owners.push(number);
                }
            }
        }
        Self { of, any }
    }

    fn owners(&self, value: &str) -> Owners {
        either(&self.any, self.of.get(value).map_or(&[], Vec::as_slice))
    }

    /// The owners of a resource, which are those of its subresource in any resource too.
    fn resource_owners(&self, resource: &str) -> Owners {
        let owners = self.owners(resource);
        match resource.split_once('/') {
            Some((_, subresource)) => {
                let any = self.of.get(format!("*/{subresource}").as_str());
                either(&owners, any.map_or(&[], Vec::as_slice))
            }
            None => owners,
        }
    }
}

struct Owned<'a> {
    verbs: Values<'a>,
    groups: Values<'a>,
    resources: Values<'a>,
    names: Values<'a>,
    /// Each path, with the number of its rule.
    urls: Vec<(&'a str, usize)>,
}

impl<'a> Owned<'a> {
    fn new(rules: &'a [Rule]) -> Self {
        let has_all = |list: &[String]| list.iter().any(|value| value == ALL);
        let urls =
            |(number, rule): (usize, &'a Rule)| rule.urls.iter().map(move |url| (url.as_str(), number));
        Self {
            verbs: Values::new(rules, |rule| &rule.verbs, has_all),
            groups: Values::new(rules, |rule| &rule.groups, has_all),
            resources: Values::new(rules, |rule| &rule.resources, has_all),
            names: Values::new(rules, |rule| &rule.names, <[String]>::is_empty),
            urls: rules.iter().enumerate().flat_map(urls).collect(),
        }
    }

    /// What it takes to tell the owners of all values of a rule, at the least.
    fn cost(&self, wanted: &Rule) -> usize {
        let lists = [
            (&self.verbs, &wanted.verbs),
            (&self.groups, &wanted.groups),
            (&self.resources, &wanted.resources),
            (&self.names, &wanted.names),
        ];
        let costs = lists.map(|(values, list)| list.len().saturating_mul(values.any.len().saturating_add(1)));
        costs.into_iter().fold(0, usize::saturating_add)
    }
}

/// Values that the same owned rules have.
struct Class<'w> {
    owners: Owners,
    /// None is every name there is.
    values: Vec<Option<&'w str>>,
}

/// The values of a list, each once, by who owns them.
fn classes<'w>(list: &'w [String], owners: impl Fn(&str) -> Owners) -> Vec<Class<'w>> {
    let (mut seen, mut at, mut classes) = (HashSet::new(), HashMap::new(), Vec::<Class<'w>>::new());
    for value in list.iter().map(String::as_str).filter(|value| seen.insert(*value)) {
        let owners = owners(value);
        let index = *at.entry(owners.clone()).or_insert(classes.len());
        match classes.get_mut(index) {
            Some(class) => class.values.push(Some(value)),
            None => classes.push(Class { owners, values: vec![Some(value)] }),
        }
    }
    classes
}

fn either(one: &[usize], other: &[usize]) -> Owners {
    let mut owners = [one, other].concat();
    owners.sort_unstable();
    owners.dedup();
    owners
}

fn both(one: &[usize], other: &[usize]) -> Owners {
    one.iter().filter(|number| other.binary_search(number).is_ok()).copied().collect()
}

/// What is found on the way.
struct Found<'w> {
    work: usize,
    room: usize,
    /// Where the rule of a group, resource and name is among the missing ones.
    at: HashMap<[Option<&'w str>; 3], usize>,
    listed: HashSet<(usize, &'w str)>,
    missing: Missing,
}

impl<'w> Found<'w> {
    fn resources(&mut self, owned: &Owned<'_>, wanted: &'w Rule) {
        if wanted.resources.is_empty() || !self.go_on(owned.cost(wanted)) {
            return;
        }
        let verbs = classes(&wanted.verbs, |verb| owned.verbs.owners(verb));
        let groups = classes(&wanted.groups, |group| owned.groups.owners(group));
        let resources = classes(&wanted.resources, |resource| owned.resources.resource_owners(resource));
        let names = match wanted.names.is_empty() {
            true => vec![Class { owners: owned.names.any.clone(), values: vec![None] }],
            false => classes(&wanted.names, |name| owned.names.owners(name)),
        };
        let order: HashMap<&str, usize> =
            wanted.verbs.iter().enumerate().rev().map(|(at, verb)| (verb.as_str(), at)).collect();
        for group in &groups {
            for resource in &resources {
                let of_resource = both(&group.owners, &resource.owners);
                for name in &names {
                    let owners = both(&of_resource, &name.owners);
                    let lacking = |class: &&Class<'w>| both(&owners, &class.owners).is_empty();
                    let lacked = verbs.iter().filter(lacking).flat_map(|class| &class.values);
                    let mut lacked: Vec<&'w str> = lacked.copied().flatten().collect();
                    if !self.go_on(of_resource.len() + owners.len().saturating_mul(verbs.len())) {
                        return;
                    }
                    if !lacked.is_empty() {
                        lacked.sort_by_key(|verb| order.get(verb));
                        self.list([group, resource, name], &lacked);
                    }
                }
            }
        }
    }

    fn urls(&mut self, owned: &Owned<'_>, wanted: &'w Rule) {
        if wanted.urls.is_empty() || !self.go_on(owned.cost(wanted)) {
            return;
        }
        let verbs = classes(&wanted.verbs, |verb| owned.verbs.owners(verb));
        for url in &wanted.urls {
            let owners = owned.urls.iter().filter(|(own, _)| url_matches(own, url));
            let owners = either(&owners.map(|(_, number)| *number).collect::<Owners>(), &[]);
            if !self.go_on(owned.urls.len() + owners.len().saturating_mul(verbs.len())) {
                return;
            }
            for class in verbs.iter().filter(|class| both(&owners, &class.owners).is_empty()) {
                for verb in class.values.iter().copied().flatten() {
                    if !self.fits(verb.len() + url.len() + 1) {
                        return;
                    }
                    let (verbs, urls) = (vec![verb.to_owned()], vec![url.clone()]);
                    self.missing.rules.push(Rule { verbs, urls, ..Rule::default() });
                }
            }
        }
    }

    /// Whether there is more to be looked at, after so much.
    fn go_on(&mut self, work: usize) -> bool {
        match self.work.checked_sub(work.saturating_add(1)) {
            Some(left) => self.work = left,
            None => self.missing.is_cut = true,
        }
        !self.missing.is_cut
    }

    fn fits(&mut self, bytes: usize) -> bool {
        match self.room.checked_sub(bytes) {
            Some(left) => self.room = left,
            None => self.missing.is_cut = true,
        }
        !self.missing.is_cut
    }

    /// Lists that verbs are missing on all values of some classes.
    fn list(&mut self, [groups, resources, names]: [&Class<'w>; 3], verbs: &[&'w str]) {
        for group in &groups.values {
            for resource in &resources.values {
                for name in &names.values {
                    let place = [*group, *resource, *name];
                    let length =
                        |texts: &[Option<&str>]| texts.iter().flatten().map(|text| text.len()).sum::<usize>();
                    let verbs_length = verbs.iter().map(|verb| verb.len()).sum::<usize>();
                    if !self.fits(length(&place) + verbs_length + 1) {
                        return;
                    }
                    self.add(place, verbs);
                }
            }
        }
    }

    fn add(&mut self, place: [Option<&'w str>; 3], verbs: &[&'w str]) {
        let index = match self.at.entry(place) {
            Entry::Occupied(at) => *at.get(),
            Entry::Vacant(at) => {
                let [groups, resources, names] =
                    place.map(|text| text.map(str::to_owned).into_iter().collect());
                self.missing.rules.push(Rule { groups, resources, names, ..Rule::default() });
                *at.insert(self.missing.rules.len() - 1)
            }
        };
        if let Some(rule) = self.missing.rules.get_mut(index) {
            let new = verbs.iter().filter(|verb| self.listed.insert((index, **verb)));
            rule.verbs.extend(new.map(|verb| (*verb).to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn rules(json: Value) -> Vec<Rule> {
        json.as_array().unwrap().iter().map(Rule::parse).collect()
    }

    fn many(prefix: &str) -> Vec<String> {
        (0..60).map(|index| format!("{prefix}{index}")).collect()
    }

    fn wide(verbs: &[String]) -> Value {
        json!({ "verbs": verbs, "apiGroups": many("g"), "resources": many("r"), "resourceNames": many("n") })
    }

    #[test]
    fn what_is_missing_is_named_once_and_by_resource() {
        let owned = rules(json!([
            { "verbs": ["*"], "apiGroups": [""], "resources": ["pods", "*/status"] },
            { "verbs": ["get"], "nonResourceURLs": ["/api/*"] },
            { "verbs": ["get"], "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["a"] }
        ]));
        let missing = |json: Value| -> Vec<String> {
            super::missing(&owned, &[Rule::parse(&json)]).rules.iter().map(ToString::to_string).collect()
        };
        let covered =
            json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "nodes/status"] });
        assert_eq!(missing(covered), Vec::<String>::new());
        assert_eq!(
            missing(
                json!({ "verbs": ["get", "list"], "apiGroups": ["", "apps"], "resources": ["pods", "secrets"] })
            ),
            [
                "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}",
                "{APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}",
                "{APIGroups:[\"apps\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}",
            ]
        );
        let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/api/v1", "/metrics"] });
        assert_eq!(missing(paths), ["{NonResourceURLs:[\"/metrics\"], Verbs:[\"get\"]}"]);
        let names = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["nodes"], "resourceNames": ["a", "b"] });
        assert_eq!(
            missing(names),
            ["{APIGroups:[\"\"], Resources:[\"nodes\"], ResourceNames:[\"b\"], Verbs:[\"get\"]}"]
        );
        let all = json!({ "verbs": ["get"], "apiGroups": [""], "resources": ["nodes"] });
        assert_eq!(missing(all).len(), 1);
    }

    #[test]
    fn what_many_rules_have_together_is_not_missing() {
        let verbs = many("v");
        let owned = rules(json!([wide(&verbs[..30]), wide(&verbs[30..])]));
        assert!(missing(&owned, &rules(json!([wide(&verbs)]))).is_nothing());
        let mut more = many("v");
        more.push("other".to_owned());
        let found = missing(&owned, &rules(json!([wide(&more)])));
        assert!(found.is_cut && found.rules.iter().all(|rule| rule.verbs == ["other"]));
    }

    #[test]
    fn who_has_hundreds_of_rules_may_give_all_of_them() {
        let one = |index| {
            json!({ "verbs": ["get", "list", "watch", "update"], "apiGroups": ["", "apps"],
            "resources": [format!("r{index}"), format!("r{index}/status"), "pods"] })
        };
        let all = rules((0..400).map(one).collect());
        assert!(missing(&all, &all).is_nothing());
    }

    #[test]
    fn what_is_too_much_to_compare_counts_as_missing() {
        // Each owned rule is one of a class of its own in each list, so that nothing can be taken together.
        let each = |prefix: &str| (0..200).map(|index| format!("{prefix}{index}")).collect::<Vec<_>>();
        let (verbs, groups, resources) = (each("v"), each("g"), each("r"));
        let slices = [("verbs", &verbs), ("apiGroups", &groups), ("resources", &resources)];
        let mut owned = Vec::new();
        for (field, values) in slices {
            for value in values {
                let mut rule = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"] });
                rule[field] = json!([value]);
                owned.push(rule);
            }
        }
        let wanted = json!([{ "verbs": verbs, "apiGroups": groups, "resources": resources }]);
        let found = missing(&rules(json!(owned)), &rules(wanted));
        assert_eq!(found, Missing { rules: Vec::new(), is_cut: true });
    }

    #[test]
    fn verbs_of_one_resource_are_told_together_and_once() {
        let wanted = json!([
            { "verbs": ["get", "get"], "apiGroups": [""], "resources": ["a", "a"] },
            { "verbs": ["list", "get"], "apiGroups": [""], "resources": ["a"] },
            { "verbs": ["get"], "apiGroups": [""], "resources": ["a"], "resourceNames": ["n"] }
        ]);
        let shown: Vec<String> = missing(&[], &rules(wanted)).rules.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "{APIGroups:[\"\"], Resources:[\"a\"], Verbs:[\"get\" \"list\"]}",
                "{APIGroups:[\"\"], Resources:[\"a\"], ResourceNames:[\"n\"], Verbs:[\"get\"]}",
            ]
        );
    }
}
