//! What is known of types that are still to be found.

use super::types::{Kind, Type};

/// How deep types are looked into.
const DEEPEST: usize = 300;

/// What variables stand for, and how much more may be looked at.
#[derive(Debug)]
pub(super) struct Bindings<'a> {
    known: Vec<Option<Type<'a>>>,
    /// What variables stood for, to go back to.
    changes: Vec<(usize, Option<Type<'a>>)>,
    steps: usize,
}

impl<'a> Bindings<'a> {
    /// So many steps are taken at most, whatever the types are.
    pub(super) fn new(steps: usize) -> Self {
        Self { known: Vec::new(), changes: Vec::new(), steps }
    }

    /// All steps are taken: nothing that was found counts.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps == 0
    }

    pub(super) fn fresh(&mut self) -> Type<'a> {
        self.known.push(None);
        Type::Var(self.known.len().saturating_sub(1))
    }

    /// Whether a value of the one type may be where the other is wanted. Variables stand for what makes it so.
    pub(super) fn assign(&mut self, one: &Type<'a>, other: &Type<'a>) -> bool {
        self.assign_all(std::slice::from_ref(one), std::slice::from_ref(other))
    }

    pub(super) fn assign_all(&mut self, ones: &[Type<'a>], others: &[Type<'a>]) -> bool {
        let before = self.changes.len();
        let fits = ones.len() == others.len()
            && ones.iter().zip(others).all(|(one, other)| self.fits(one, other, 0));
        if !fits {
            for (var, was) in self.changes.drain(before..).rev() {
                if let Some(known) = self.known.get_mut(var) {
                    *known = was;
                }
            }
        }
        fits
    }

    /// A type with what its variables stand for.
    pub(super) fn resolve(&mut self, of: &Type<'a>) -> Type<'a> {
        self.resolve_at(of, 0)
    }

    fn resolve_at(&mut self, of: &Type<'a>, depth: usize) -> Type<'a> {
        if !self.step(depth) {
            return Type::Unsure;
        }
        let root = self.root(of);
        match &root {
            Type::Made(kind, _) => {
                let parts = root.parts().iter().map(|part| self.resolve_at(part, depth.saturating_add(1)));
                Type::made(*kind, parts.collect())
            }
            _ => root,
        }
    }

    /// A signature of a function, with variables of its own.
    pub(super) fn instantiate(&mut self, types: &[Type<'a>]) -> Vec<Type<'a>> {
        let first = self.known.len();
        types.iter().map(|one| self.renumber(one, first)).collect()
    }

    fn renumber(&mut self, of: &Type<'a>, first: usize) -> Type<'a> {
        match of {
            Type::Var(index) => {
                let var = first.saturating_add(*index);
                self.known.resize(self.known.len().max(var.saturating_add(1)), None);
                Type::Var(var)
            }
            Type::Made(kind, _) => {
                Type::made(*kind, of.parts().iter().map(|part| self.renumber(part, first)).collect())
            }
            other => other.clone(),
        }
    }

    /// What a variable stands for, which may be a variable that stands for nothing.
    fn root(&self, of: &Type<'a>) -> Type<'a> {
        let mut at = of;
        while let Type::Var(var) = at {
            match self.known.get(*var) {
                Some(Some(known)) => at = known,
                _ => break,
            }
        }
        at.clone()
    }

    fn step(&mut self, depth: usize) -> bool {
        self.steps = if depth > DEEPEST { 0 } else { self.steps.saturating_sub(1) };
        self.steps > 0
    }

    fn fits(&mut self, one: &Type<'a>, other: &Type<'a>, depth: usize) -> bool {
        if !self.step(depth) {
            return true;
        }
        if let Type::Var(_) = other {
            match self.stands_for(other, one, depth) {
                Stand::Fits => return true,
                Stand::IsOther => return false,
                Stand::IsWithin => {}
            }
        }
        if let Type::Var(_) = one {
            return matches!(self.stands_for(one, other, depth), Stand::Fits);
        }
        if one.is_open() || other.is_open() {
            return true;
        }
        match (one, other) {
            (Type::Null, nullable) | (nullable, Type::Null) => nullable.is_nullable(),
            (Type::Made(Kind::Type, _), Type::Made(Kind::Type, _)) => true,
            (Type::Made(one_kind, _), Type::Made(other_kind, _)) => {
                one_kind == other_kind
                    && one
                        .parts()
                        .iter()
                        .zip(other.parts())
                        .all(|(one, other)| self.fits(one, other, depth.saturating_add(1)))
            }
            _ => one.is_same(other),
        }
    }

    /// Whether a variable can stand for a type; it does so from now on.
    fn stands_for(&mut self, var: &Type<'a>, other: &Type<'a>, depth: usize) -> Stand {
        if var.is_same(other) {
            return Stand::Fits;
        }
        // The last variable of those that stand for each other is the one that is looked at.
        let mut last = var.clone();
        while let Type::Var(index) = &last {
            match self.known.get(*index) {
                Some(Some(next @ Type::Var(_))) => last = next.clone(),
                _ => break,
            }
        }
        let Type::Var(index) = last else { return Stand::Fits };
        if last.is_same(other) {
            return Stand::Fits;
        }
        let Some(known) = self.known.get(index).cloned().flatten() else {
            if self.is_within(&last, other, depth) {
                return Stand::IsWithin;
            }
            self.set(index, other.clone());
            return Stand::Fits;
        };
        if known.is_same(other) {
            return Stand::Fits;
        }
        if !self.fits(other, &known, depth.saturating_add(1)) {
            return Stand::IsOther;
        }
        if is_more_general(other, &known) && !self.is_within(&last, other, depth) {
            self.set(index, other.clone());
        }
        Stand::Fits
    }

    fn set(&mut self, var: usize, to: Type<'a>) {
        if let Some(known) = self.known.get_mut(var) {
            let was = known.replace(to);
            self.changes.push((var, was));
        }
    }

    /// Whether a type contains the variable.
    fn is_within(&mut self, var: &Type<'a>, within: &Type<'a>, depth: usize) -> bool {
        if !self.step(depth) {
            return true;
        }
        let within = self.root(within);
        var.is_same(&within)
            || within.parts().iter().any(|part| self.is_within(var, part, depth.saturating_add(1)))
    }
}

/// How a variable and a type get along.
enum Stand {
    Fits,
    /// The variable stands for another type.
    IsOther,
    /// The type contains the variable.
    IsWithin,
}

/// Whether the one type takes all that the other takes, of two that get along.
pub(super) fn is_more_general(one: &Type<'_>, other: &Type<'_>) -> bool {
    match (one, other) {
        (Type::Dyn | Type::Unsure | Type::Var(_), _) => true,
        (_, Type::Dyn | Type::Unsure | Type::Var(_)) => false,
        (Type::Made(Kind::Type, _), Type::Made(Kind::Type, _)) => true,
        (Type::Made(one_kind, _), Type::Made(other_kind, _)) => {
            one_kind == other_kind
                && one.parts().iter().zip(other.parts()).all(|(one, other)| is_more_general(one, other))
        }
        _ => one.is_same(other),
    }
}
