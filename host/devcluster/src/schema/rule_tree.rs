//! The parts that an expression is made of.

use kube_cel::cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr};

/// The parts of an expression, one level down.
pub(super) fn parts(expr: &mut Expr) -> Vec<&mut IdedExpr> {
    match expr {
        Expr::Call(call) => call.target.as_deref_mut().into_iter().chain(&mut call.args).collect(),
        Expr::Comprehension(all) => vec![
            &mut all.iter_range,
            &mut all.accu_init,
            &mut all.loop_cond,
            &mut all.loop_step,
            &mut all.result,
        ],
        Expr::List(list) => list.elements.iter_mut().collect(),
        Expr::Map(map) => of_entries(map.entries.iter_mut().map(|entry| &mut entry.expr)),
        Expr::Struct(fields) => of_entries(fields.entries.iter_mut().map(|entry| &mut entry.expr)),
        Expr::Select(select) => vec![&mut select.operand],
        Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => Vec::new(),
    }
}

fn of_entries<'a>(entries: impl Iterator<Item = &'a mut EntryExpr>) -> Vec<&'a mut IdedExpr> {
    entries
        .flat_map(|entry| match entry {
            EntryExpr::MapEntry(entry) => vec![&mut entry.key, &mut entry.value],
            EntryExpr::StructField(field) => vec![&mut field.value],
        })
        .collect()
}

/// How many parts an expression has, itself and all levels down.
pub(super) fn size(tree: &mut IdedExpr) -> usize {
    parts(&mut tree.expr).into_iter().map(size).fold(1, usize::saturating_add)
}

/// A call of a function, or of an operator, in the place of what has the id.
pub(super) fn call(id: u64, name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target: None, args }) }
}

/// A call of a method.
pub(super) fn method(id: u64, target: IdedExpr, name: &str) -> IdedExpr {
    let target = Some(Box::new(target));
    IdedExpr { id, expr: Expr::Call(CallExpr { func_name: name.to_owned(), target, args: Vec::new() }) }
}

pub(super) fn ident(id: u64, name: &str) -> IdedExpr {
    IdedExpr { id, expr: Expr::Ident(name.to_owned()) }
}
