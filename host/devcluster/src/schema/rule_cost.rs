//! How much work a rule is at most, told from its expression and the sizes of what it is evaluated for.
//!
//! A coarse bound, where the real server counts as it evaluates: as many steps as the expression has parts, times the
//! longest list for each loop around another, and the longest text for each function that takes texts apart.

use kube_cel::cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use serde_json::Value;

/// So many bytes of a text are compared or copied in the time of one step.
const BYTES_A_STEP: u64 = 1024;
/// Texts up to this length cost nothing where they are written down in the expression itself.
const SHORT_TEXT: usize = 32;

/// How often the length of the longest list, and of the longest text, is to be multiplied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Power {
    lists: u32,
    texts: u32,
}

impl Power {
    const LIST: Self = Self { lists: 1, texts: 0 };
    const TEXT: Self = Self { lists: 0, texts: 1 };

    fn times(self, other: Self) -> Self {
        Self { lists: self.lists.saturating_add(other.lists), texts: self.texts.saturating_add(other.texts) }
    }

    fn max(self, other: Self) -> Self {
        Self { lists: self.lists.max(other.lists), texts: self.texts.max(other.texts) }
    }
}

/// How much work an expression is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    parts: u64,
    work: Power,
    /// How long the result is; `None` if it is as long as what the object has.
    length: Option<Power>,
    /// The longest list or text that the expression itself spells out.
    widest: u64,
    /// How deep any parts are nested: whoever walks the expression needs as much stack.
    pub(super) nesting: u32,
}

/// The longest list or map, and the longest text, of a value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sizes {
    lists: u64,
    texts: u64,
}

impl Sizes {
    pub(super) fn of(value: &Value) -> Self {
        let own = |length: usize| Self { lists: whole(length), texts: 0 };
        match value {
            Value::String(text) => Self { lists: 0, texts: whole(text.len()) },
            Value::Array(items) => items.iter().map(Self::of).fold(own(items.len()), Self::max),
            Value::Object(map) => {
                let names = map.keys().map(|name| Self { lists: 0, texts: whole(name.len()) });
                map.values().map(Self::of).chain(names).fold(own(map.len()), Self::max)
            }
            _ => Self::default(),
        }
    }

    pub(super) fn max(self, other: Self) -> Self {
        Self { lists: self.lists.max(other.lists), texts: self.texts.max(other.texts) }
    }
}

impl Cost {
    pub(super) fn of(tree: &IdedExpr) -> Self {
        Self::measure(tree)
    }

    /// How many steps the expression may take for values of these sizes at most.
    pub(super) fn steps(self, sizes: Sizes) -> u64 {
        let lists = sizes.lists.max(self.widest).max(1);
        let texts = sizes.texts.max(self.widest).max(1);
        let loops =
            lists.saturating_pow(self.work.lists).saturating_mul(texts.saturating_pow(self.work.texts));
        let copies = texts.checked_div(BYTES_A_STEP).unwrap_or_default().saturating_add(1);
        self.parts.saturating_mul(loops).saturating_mul(copies)
    }

    fn measure(expr: &IdedExpr) -> Self {
        let own = Self { parts: 1, nesting: 1, ..Self::default() };
        match &expr.expr {
            Expr::Select(select) => Self { length: None, ..own.with(Self::measure(&select.operand)) },
            Expr::Call(call) => Self::call(own, call),
            Expr::List(list) => {
                let parts: Vec<Self> = list.elements.iter().map(Self::measure).collect();
                own.spelt(list.elements.len()).holding(&parts)
            }
            Expr::Map(map) => {
                let entries = map.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::MapEntry(entry) => Some([&entry.key, &entry.value]),
                    EntryExpr::StructField(_) => None,
                });
                let parts: Vec<Self> = entries.flatten().map(Self::measure).collect();
                own.spelt(map.entries.len()).holding(&parts)
            }
            Expr::Comprehension(all) => Self::comprehension(own, all),
            Expr::Literal(LiteralValue::String(text)) if text.inner().len() > SHORT_TEXT => {
                Self { length: None, ..own.spelt(text.inner().len()) }
            }
            Expr::Literal(_) => Self { length: Some(Power::default()), ..own },
            Expr::Struct(fields) => {
                let values = fields.entries.iter().filter_map(|entry| match &entry.expr {
                    EntryExpr::StructField(field) => Some(&field.value),
                    EntryExpr::MapEntry(_) => None,
                });
                own.holding(&values.map(Self::measure).collect::<Vec<_>>())
            }
            Expr::Ident(_) | Expr::Unspecified => own,
        }
    }

    fn comprehension(own: Self, all: &ComprehensionExpr) -> Self {
        let range = Self::measure(&all.iter_range);
        let step = Self::measure(&all.loop_step);
        let looped = [&all.loop_cond, &all.result].into_iter().map(Self::measure).fold(step, Self::with);
        // A list that is spelt out has as many items as it has.
        let spelt = match &all.iter_range.expr {
            Expr::List(list) => Some(list.elements.len()),
            _ => None,
        };
        let is_empty = spelt == Some(0);
        let times = if spelt.is_some() { Power::default() } else { range.as_list() };
        let rounds = spelt.map_or(1, |length| whole(length).max(1));
        let looped =
            Self { work: looped.work.times(times), parts: looped.parts.saturating_mul(rounds), ..looped };
        // A loop without rounds is there to give its result.
        let length = if is_empty {
            looped.length
        } else {
            Some(range.as_list().times(step.length.unwrap_or_default()))
        };
        Self { length, ..own.with(looped).with(range).with(Self::measure(&all.accu_init)) }
    }

    fn call(own: Self, call: &CallExpr) -> Self {
        let target = call.target.as_deref().map(Self::measure);
        let args: Vec<Self> = call.args.iter().map(Self::measure).collect();
        let all = target.iter().chain(&args).copied().fold(own, Self::with);
        let (this, first) = (target.unwrap_or_default(), args.first().copied().unwrap_or_default());
        let last = args.last().copied().unwrap_or_default();
        let is_sets = matches!(call.target.as_deref(), Some(IdedExpr { expr: Expr::Ident(name), .. }) if name == "sets");
        let doing = |work: Power, length: Option<Power>| Self { work: all.work.max(work), length, ..all };
        match call.func_name.as_str() {
            // A list that is spelt out is a part of the size.
            "@in" if matches!(call.args.last(), Some(IdedExpr { expr: Expr::List(_), .. })) => all.plain(),
            "@in" => doing(last.as_list(), Some(Power::default())),
            "contains" | "equivalent" | "intersects" if is_sets => {
                doing(first.as_list().times(last.as_list()), Some(Power::default()))
            }
            "distinct" => doing(this.as_list().times(this.as_list()), this.length),
            "indexOf" | "lastIndexOf" => doing(this.as_text().times(first.as_text()), Some(Power::default())),
            "split" | "findAll" => doing(this.as_text(), Some(this.as_text())),
            "replace" => {
                // The text that takes another's place, of two or three arguments.
                let new = args.get(1).copied().unwrap_or_default();
                let length = this.as_text().times(new.as_text());
                doing(length, Some(length))
            }
            "join" => doing(this.as_list().times(Power::TEXT), Some(this.as_list().times(Power::TEXT))),
            "cel.@mapInsert" => doing(Power::LIST, Some(Power::LIST)),
            "flatten" => {
                let length = this.as_list().times(Power { lists: 1, texts: 1 });
                doing(length, Some(length))
            }
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "size" => {
                all.plain()
            }
            _ => all,
        }
    }

    /// With another part, next to this one; as long as the longer one.
    fn with(self, part: Self) -> Self {
        Self {
            parts: self.parts.saturating_add(part.parts),
            work: self.work.max(part.work),
            length: match (self.length, part.length) {
                (Some(one), Some(other)) => Some(one.max(other)),
                (one, other) => one.or(other).filter(|known| *known != Power::default()),
            },
            widest: self.widest.max(part.widest),
            nesting: self.nesting.max(part.nesting.saturating_add(1)),
        }
    }

    /// A list or a map that is spelt out, with what is in it: as long as `widest` says, at least.
    fn holding(self, parts: &[Self]) -> Self {
        let all = parts.iter().copied().fold(self, Self::with);
        let inner = parts.iter().filter_map(|part| part.length).fold(Power::default(), Power::max);
        Self { length: (inner != Power::default()).then_some(inner), ..all }
    }

    fn spelt(self, length: usize) -> Self {
        Self { widest: self.widest.max(whole(length)), ..self }
    }

    /// A result of no length.
    fn plain(self) -> Self {
        Self { length: Some(Power::default()), ..self }
    }

    fn as_list(self) -> Power {
        self.length.unwrap_or(Power::LIST)
    }

    fn as_text(self) -> Power {
        self.length.unwrap_or(Power::TEXT)
    }
}

fn whole(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::rule_parse;
    use super::*;

    fn steps(rule: &str, value: &Value) -> u64 {
        Cost::of(&rule_parse::parse(rule).unwrap()).steps(Sizes::of(value))
    }

    #[test]
    fn loops_within_functions_are_counted_as_loops() {
        let lists = json!({ "a": vec!["x"; 1000], "b": vec!["x"; 1000], "s": "x".repeat(1000) });
        for rule in [
            "sets.equivalent(self.a, self.b)",
            "self.a.all(x, x in self.b)",
            "self.a.all(x, self.b.all(y, x != y))",
            "self.s.replace('a', self.s).size() > 0",
            "self.s.split('').all(x, self.s.split('').all(y, x == y))",
            "self.a.map(x, self.s).join('') != ''",
        ] {
            let found = steps(rule, &lists);
            assert!((1_000_000..50_000_000).contains(&found), "{rule}: {found}");
        }
        let cubic = "self.s.replace('a', self.s).replace('a', self.s).size() > 0";
        assert!(steps(cubic, &lists) >= 1_000_000_000);
        let sorted = "self.a.map(x, self.b).all(y, y.all(z, z in self.a))";
        assert!(steps(sorted, &lists) >= 1_000_000_000);
    }

    #[test]
    fn what_is_done_once_for_each_item_is_cheap() {
        let lists = json!({ "a": vec!["x"; 1000], "s": "x".repeat(1000) });
        for rule in [
            "self.a.all(x, x in ['a', 'b', 'c'])",
            "self.a.all(x, x.size() < 10 && x.startsWith('a'))",
            "self.s.replace('a', 'b') != ''",
            "self.a.exists(x, x == self.s)",
            "self.s.matches('^[a-z]+$')",
        ] {
            let found = steps(rule, &lists);
            assert!(found < 100_000, "{rule}: {found}");
        }
    }
}
