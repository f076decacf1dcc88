//! How much work the rules of a schema may be, as estimated when a definition is written.

use crate::error::Cause;

/// How much an expression may cost at most, for all values that it is evaluated for.
const MOST: u64 = 10_000_000;
/// How much all expressions of a schema may cost.
const MOST_OF_ALL: u64 = 100_000_000;
/// How many expressions are named if all are too much, and from which part of what they may cost.
const NAMED: usize = 4;
const NAMED_FROM: u64 = MOST_OF_ALL / 100;

#[derive(Debug, Default)]
pub(super) struct Budget {
    total: u64,
    /// The most expensive ones, the first of them first.
    expensive: Vec<(u64, String)>,
}

impl Budget {
    /// Counts an expression at a path; the cause is that it is too much work.
    pub(super) fn spend(&mut self, name: &str, path: &str, cost: u64) -> Option<Cause> {
        self.total = self.total.saturating_add(cost);
        if cost >= NAMED_FROM {
            let at = self.expensive.partition_point(|(other, _)| *other >= cost);
            self.expensive.insert(at, (cost, path.to_owned()));
            self.expensive.truncate(NAMED);
        }
        (cost > MOST).then(|| Cause::forbidden(path, &exceeds(&format!("estimated {name} cost"), cost, MOST)))
    }

    /// What the schema at a path is refused for, if all its expressions are too much work.
    pub(super) fn causes(self, path: &str) -> Vec<Cause> {
        if self.total <= MOST_OF_ALL {
            return Vec::new();
        }
        let why = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        let mut causes: Vec<_> = self.expensive.iter().map(|(_, path)| Cause::forbidden(path, why)).collect();
        let name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        causes.push(Cause::forbidden(path, &exceeds(name, self.total, MOST_OF_ALL)));
        causes
    }
}

fn exceeds(name: &str, cost: u64, most: u64) -> String {
    let (cost, most) = (u128::from(cost), u128::from(most));
    // Rounded, so many times what is allowed.
    let times = |parts: u128| {
        cost.saturating_mul(parts)
            .saturating_mul(2)
            .saturating_add(most)
            .checked_div(most.saturating_mul(2))
            .unwrap_or_default()
    };
    let shown = |parts: u128, digits: usize| {
        let times = times(parts);
        let (whole, rest) =
            (times.checked_div(parts).unwrap_or_default(), times.checked_rem(parts).unwrap_or_default());
        format!("{whole}.{rest:0digits$}x")
    };
    let factor = if cost > most.saturating_mul(100) {
        "more than 100x".to_owned()
    } else if cost.saturating_mul(2) < most.saturating_mul(3) {
        shown(1_000_000, 6)
    } else {
        shown(10, 1)
    };
    format!(
        "{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_is_as_precise_as_it_is_small() {
        let factor = |cost| exceeds("x", cost, MOST).split(' ').nth(6).unwrap().to_owned();
        assert_eq!(factor(10_000_001), "1.000000x");
        assert_eq!(factor(14_234_567), "1.423457x");
        assert_eq!(factor(15_500_000), "1.6x");
        assert_eq!(factor(999_000_000), "99.9x");
        assert!(exceeds("x", u64::MAX, MOST).contains("by factor of more than 100x (try"));
    }
}
