//! Names in rules that stand for types.

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::Expr;

use super::types::{Kind, Type};

/// The name with dots that an expression is, if it is nothing more.
pub(super) fn qualified(tree: &IdedExpr) -> Option<String> {
    match &tree.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => {
            Some(format!("{}.{}", qualified(&select.operand)?, select.field))
        }
        _ => None,
    }
}

/// A type that has a name in rules.
pub(super) fn named_type<'a>(name: &str) -> Option<Type<'a>> {
    Some(Type::of_type(match name {
        "bool" => Type::Bool,
        "bytes" => Type::Bytes,
        "double" => Type::Double,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "string" => Type::String,
        "null_type" => Type::Null,
        "list" => Type::list(Type::Dyn),
        "map" => Type::map(Type::Dyn, Type::Dyn),
        "type" => Type::made(Kind::Type, Vec::new()),
        "optional_type" => Type::optional(Type::Dyn),
        "google.protobuf.Timestamp" => Type::Timestamp,
        "google.protobuf.Duration" => Type::Duration,
        "net.IP"
        | "net.CIDR"
        | "kubernetes.URL"
        | "kubernetes.Quantity"
        | "kubernetes.Semver"
        | "kubernetes.NamedFormat" => Type::Unsure,
        _ if name.starts_with("google.protobuf.") => Type::Unsure,
        _ => return None,
    }))
}
