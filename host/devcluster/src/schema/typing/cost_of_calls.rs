//! How much work the operators and functions of rules are at most, and how long what they make is.

use kube_cel::cel::common::ast::LiteralValue;

use super::cost::{Entry, Estimator, Node, Size};
use super::functions::Overload;
use super::types::{Kind, Type};

#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) cost: u64,
    pub(super) size: Option<Size>,
    pub(super) entry: Option<Entry>,
}

impl Call {
    fn new(cost: u64) -> Self {
        Self { cost, size: None, entry: None }
    }

    fn sized(cost: u64, size: Size) -> Self {
        Self { cost, size: Some(size), entry: None }
    }
}

/// Of a length, one for every ten letters.
fn walk(length: u64) -> u64 {
    length.div_ceil(10)
}

fn of_list(cost: u64, size: Size) -> Call {
    Call::sized(cost.saturating_add(11), size)
}

/// What a call costs, with its arguments, but without what it is called on.
pub(super) fn estimate<'a>(
    estimator: &Estimator<'a, '_>,
    name: &str,
    overload: &Overload,
    target: Option<&Node<'a>>,
    args: &[Node<'a>],
) -> Call {
    let of_args = args.iter().map(|arg| arg.cost).fold(0, u64::saturating_add);
    let sizes: Vec<Size> = args.iter().map(Node::size).collect();
    let own = match target {
        Some(target) => of_method(estimator, name, overload, target, args, &sizes),
        None => of_function(name, overload, args, &sizes),
    };
    match own {
        // Only one of the branches is run.
        Call { .. } if name == "_?_:_" => {
            let [condition, yes, no] = args else { return own };
            let cost = condition.cost.saturating_add(yes.cost.max(no.cost));
            let entry = Entry::union(yes.entry, no.entry);
            Call { cost, size: Some(yes.size().union(no.size())), entry }
        }
        _ => Call { cost: own.cost.saturating_add(of_args), ..own },
    }
}

fn of_function(name: &str, overload: &Overload, args: &[Node<'_>], sizes: &[Size]) -> Call {
    match (name, sizes) {
        ("_&&_" | "_||_", _) => Call::new(0),
        ("_+_", [left, right]) => {
            let size = left.plus(*right);
            let entries = args.iter().map(|arg| arg.entry).reduce(Entry::union).flatten();
            match overload.result {
                Type::Made(Kind::List, _) => Call { cost: 1, size: Some(size), entry: entries },
                Type::String | Type::Bytes => {
                    Call { cost: walk(size.most), size: Some(size), entry: entries }
                }
                _ => Call::new(1),
            }
        }
        ("_==_", [_, right]) if opaque(args).is_some() => match opaque(args) {
            Some("kubernetes.NamedFormat") => Call::new(7),
            Some("kubernetes.URL") => Call::new(walk(right.most)),
            _ => Call::new(1),
        },
        ("_==_" | "_!=_", [left, right]) => Call::new(walk(left.most.min(right.most))),
        ("_<_" | "_<=_" | "_>_" | "_>=_", [left, right])
            if matches!(overload.args.first(), Some(Type::String | Type::Bytes)) =>
        {
            Call::new(walk(left.most.min(right.most)))
        }
        ("@in", [_, list]) if matches!(overload.args.last(), Some(Type::Made(Kind::List, _))) => {
            Call::new(list.most)
        }
        ("bytes", [text]) if matches!(overload.args.first(), Some(Type::String)) => {
            Call::sized(walk(text.most), Size { most: text.most.saturating_mul(4), ..*text })
        }
        ("string", [bytes]) if matches!(overload.args.first(), Some(Type::Bytes)) => {
            let least = bytes.least.checked_div(4).unwrap_or_default();
            Call::sized(walk(bytes.most), Size { least, most: bytes.most })
        }
        ("strings.quote", [text]) => {
            let most = text.most.saturating_mul(2).saturating_add(2);
            Call::sized(walk(text.most), Size { least: text.least.saturating_add(2), most })
        }
        ("url", [text]) => Call::sized(walk(text.most), *text),
        (
            "cidr" | "isIP" | "isCIDR" | "ip" | "quantity" | "isQuantity" | "semver" | "isSemver",
            [text, ..],
        ) => Call::new(walk(text.most)),
        ("ip.isCanonical", [text]) => Call::new(text.most.div_ceil(5)),
        ("sets.contains" | "sets.intersects", [one, other]) => {
            Call::new(one.times(*other).most.saturating_add(1))
        }
        ("sets.equivalent", [one, other]) => {
            Call::new(one.times(*other).most.saturating_mul(2).saturating_add(1))
        }
        ("lists.range", [_]) => {
            let size = Size::fixed(args.first().and_then(number).unwrap_or(u64::MAX));
            of_list(size.most, size)
        }
        _ => Call::new(1),
    }
}

fn of_method<'a>(
    estimator: &Estimator<'a, '_>,
    name: &str,
    overload: &Overload,
    target: &Node<'a>,
    args: &[Node<'a>],
    sizes: &[Size],
) -> Call {
    let own = target.size();
    match (name, sizes) {
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", _) => {
            Call::new(match item(estimator, target) {
                Some((Type::String | Type::Bytes, size)) => {
                    own.most.saturating_mul(walk(size.most).saturating_add(1))
                }
                Some(_) => own.most,
                None => walk(own.most),
            })
        }
        ("lowerAscii" | "upperAscii" | "substring" | "trim", _) => Call::sized(walk(own.most), own),
        ("replace", [from, to, ..]) => Call::sized(own.most.div_ceil(5), replaced(own, *from, *to)),
        ("split", _) => {
            let most = args.get(1).and_then(number).unwrap_or(own.most);
            Call::sized(own.most.div_ceil(5), Size { least: 0, most })
        }
        ("join", _) => {
            let mut size = item(estimator, target).map_or(Size::fixed(0), |(_, item)| own.times(item));
            if let Some(between) = sizes.first() {
                let times = Size { least: own.least.saturating_sub(1), most: own.most.saturating_sub(1) };
                size = size.plus(between.times(times));
            }
            Call::sized(walk(size.most), size)
        }
        ("find" | "findAll", [pattern, ..]) => {
            let cost = walk(own.most.saturating_add(1)).saturating_mul(pattern.most.div_ceil(4));
            Call::sized(cost, Size { least: 0, most: own.most })
        }
        ("matches", [pattern]) => {
            Call::new(walk(own.most.saturating_add(1)).saturating_mul(pattern.most.div_ceil(4)))
        }
        ("contains", [part]) => Call::new(walk(own.most).saturating_mul(walk(part.most))),
        ("startsWith" | "endsWith", [part]) => Call::new(walk(part.most)),
        ("format", _) => Call::new(walk(own.most)),
        ("containsIP", [text]) => Call::new(match overload.args.last() {
            Some(Type::String) => walk(text.most).saturating_add(4),
            _ => 4,
        }),
        ("containsCIDR", [text]) => Call::new(match overload.args.last() {
            Some(Type::String) => walk(text.most).saturating_add(7),
            _ => 7,
        }),
        ("validate", [text]) => Call::new(walk(text.most).saturating_mul(32)),
        ("check", _) => Call::new(350_000),
        ("slice", _) => {
            let start = args.first().and_then(number).unwrap_or(0);
            let end = args.get(1).and_then(number).unwrap_or(own.most);
            // As there, an end before the start makes the longest list.
            let size = Size::fixed(end.checked_sub(start).unwrap_or(u64::MAX));
            of_list(size.most, size)
        }
        ("reverse", _) => of_list(own.most, own),
        ("flatten", _) => {
            let depth = args.first().map_or(1, |depth| number(depth).unwrap_or(u64::MAX));
            of_list(own.most.saturating_mul(depth), own)
        }
        ("distinct", _) => {
            let size = own.times(own);
            of_list(size.most.saturating_mul(2), size)
        }
        ("sort" | "@sortByAssociatedKeys", _) => {
            let keys = sizes.first().copied().unwrap_or(own);
            let size = keys.times(keys);
            let of_texts =
                overload.args.last().is_some_and(|list| matches!(list.parts(), [Type::String | Type::Bytes]));
            let texts = if of_texts { walk(size.most) } else { 0 };
            of_list(size.most.saturating_mul(2).saturating_add(texts), size)
        }
        _ => Call::new(1),
    }
}

/// How long a text is in which one part takes the place of another.
fn replaced(own: Size, from: Size, to: Size) -> Size {
    let (count, kept) = if from.least == 0 {
        (own.most.saturating_add(1), own.most)
    } else if to.most <= from.least {
        (0, own.most)
    } else {
        (own.most.div_ceil(from.least), 0)
    };
    let (least_count, least_kept) = if from.most == 0 {
        (own.least.saturating_add(1), own.least)
    } else if from.most <= to.least {
        (0, own.least)
    } else {
        (own.least.div_ceil(from.most), 0)
    };
    Size {
        least: least_count.saturating_mul(to.least).saturating_add(least_kept),
        most: count.saturating_mul(to.most).saturating_add(kept),
    }
}

/// What a list consists of, and how long that is.
fn item<'a>(estimator: &Estimator<'a, '_>, list: &Node<'a>) -> Option<(Type<'a>, Size)> {
    let item = list.of.parts().first()?.clone();
    let mut path = list.path.clone();
    if !path.is_empty() {
        path.push("@items");
    }
    Some((item, estimator.size_at(&path).unwrap_or(Size::UNKNOWN)))
}

/// The type of Kubernetes that two values have.
fn opaque<'a>(args: &[Node<'a>]) -> Option<&'a str> {
    match args {
        [Node { of: Type::Opaque(one), .. }, Node { of: Type::Opaque(other), .. }] if one == other => {
            Some(one)
        }
        _ => None,
    }
}

fn number(node: &Node<'_>) -> Option<u64> {
    match node.literal {
        Some(LiteralValue::Int(number)) => u64::try_from(*number.inner()).ok(),
        _ => None,
    }
}
