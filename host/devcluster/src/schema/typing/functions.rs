//! The operators and functions that rules have, those of Kubernetes among them.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::types::{Kind, Type};

/// A way to call a function.
#[derive(Debug)]
pub(super) struct Overload {
    pub(super) is_method: bool,
    /// What it is called on, if it is a method, and its arguments.
    pub(super) args: Vec<Type<'static>>,
    pub(super) result: Type<'static>,
}

/// Types that have an order.
const ORDERED: &str = "bool bytes double duration timestamp int string uint";
/// Types that have a sum.
const SUMMED: &str = "double duration int uint";

/// A line for all functions that are called in the same ways: their names, and behind the colon the ways: the
/// arguments in parentheses, what the function is called on before them, if it is a method, and what it gives. Capital
/// letters stand for any type, `ordered` and `summed` for each type that has an order, or a sum.
const FUNCTIONS: &str = "
!_ @not_strictly_false: (bool) bool
-_: (int) int | (double) double
_&&_ _||_: (bool, bool) bool
_==_ _!=_: (A, A) bool
_<_ _<=_ _>_ _>=_: (ordered, ordered) bool | (int, uint) bool | (uint, int) bool | (int, double) bool | (double, int) bool | (uint, double) bool | (double, uint) bool
_%_: (int, int) int | (uint, uint) uint
_*_ _/_: (int, int) int | (uint, uint) uint | (double, double) double
_-_: (int, int) int | (uint, uint) uint | (double, double) double | (duration, duration) duration | (timestamp, timestamp) duration | (timestamp, duration) timestamp
_+_: (int, int) int | (uint, uint) uint | (double, double) double | (string, string) string | (bytes, bytes) bytes | (duration, duration) duration | (timestamp, duration) timestamp | (duration, timestamp) timestamp | (list(A), list(A)) list(A)
_?_:_: (bool, A, A) A
@in: (A, list(A)) bool | (A, map(A, B)) bool
_[_]: (list(A), int) A | (map(A, B), A) B | (optional(list(A)), int) optional(A) | (optional(map(A, B)), A) optional(B)
_[?_]: (list(A), int) optional(A) | (map(A, B), A) optional(B) | (optional(list(A)), int) optional(A) | (optional(map(A, B)), A) optional(B)
cel.@mapInsert: (map(A, B), A, B) map(A, B) | (map(A, B), map(A, B)) map(A, B)
@sortByAssociatedKeys: list(A).(list(ordered)) list(A)
bool: (bool) bool | (string) bool
bytes: (bytes) bytes | (string) bytes
cidr: (string) net.CIDR
double: (double) double | (int) double | (string) double | (uint) double
duration: (duration) duration | (int) duration | (string) duration
dyn: (A) dyn
format.byte format.date format.datetime format.dns1035Label format.dns1035LabelPrefix format.dns1123Label format.dns1123LabelPrefix format.dns1123Subdomain format.dns1123SubdomainPrefix format.labelValue format.qualifiedName format.uri format.uuid: () kubernetes.NamedFormat
format.named: (string) optional(kubernetes.NamedFormat)
int: (double) int | (duration) int | (timestamp) int | (int) int | (string) int | (uint) int
ip: (string) net.IP | net.CIDR.() net.IP
ip.isCanonical isCIDR isIP isQuantity isURL: (string) bool
isSemver: (string) bool | (string, bool) bool
lists.range: (int) list(int)
matches: (string, string) bool | string.(string) bool
optional.none: () optional(A)
optional.of optional.ofNonZeroValue: (A) optional(A)
optional.unwrap: (list(optional(A))) list(A)
quantity: (string) kubernetes.Quantity
semver: (string) kubernetes.Semver | (string, bool) kubernetes.Semver
sets.contains sets.equivalent sets.intersects: (list(A), list(A)) bool
sign: (kubernetes.Quantity) int
size: (bytes) int | (list(A)) int | (map(A, B)) int | (string) int | bytes.() int | list(A).() int | map(A, B).() int | string.() int
string: (bool) string | (bytes) string | (double) string | (duration) string | (timestamp) string | (int) string | (net.CIDR) string | (net.IP) string | (string) string | (uint) string
strings.quote: (string) string
timestamp: (timestamp) timestamp | (int) timestamp | (string) timestamp
type: (A) type(A)
uint: (double) uint | (int) uint | (string) uint | (uint) uint
url: (string) kubernetes.URL
add sub: kubernetes.Quantity.(int) kubernetes.Quantity | kubernetes.Quantity.(kubernetes.Quantity) kubernetes.Quantity
asApproximateFloat: kubernetes.Quantity.() double
asInteger: kubernetes.Quantity.() int
isInteger: kubernetes.Quantity.() bool
compareTo: kubernetes.Quantity.(kubernetes.Quantity) int | kubernetes.Semver.(kubernetes.Semver) int
isGreaterThan isLessThan: kubernetes.Quantity.(kubernetes.Quantity) bool | kubernetes.Semver.(kubernetes.Semver) bool
major minor patch: kubernetes.Semver.() int
charAt: string.(int) string
contains endsWith startsWith: string.(string) bool
containsCIDR: net.CIDR.(net.CIDR) bool | net.CIDR.(string) bool
containsIP: net.CIDR.(net.IP) bool | net.CIDR.(string) bool
masked: net.CIDR.() net.CIDR
prefixLength: net.CIDR.() int
family: net.IP.() int
isGlobalUnicast isLinkLocalMulticast isLinkLocalUnicast isLoopback isUnspecified: net.IP.() bool
distinct reverse: list(A).() list(A)
find: string.(string) string
findAll: string.(string) list(string) | string.(string, int) list(string)
first last: list(A).() optional(A)
flatten: list(list(A)).() list(A) | list(dyn).(int) list(dyn)
format: string.(list(dyn)) string
getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getMonth: timestamp.() int | timestamp.(string) int
getHours getMilliseconds getMinutes getSeconds: duration.() int | timestamp.() int | timestamp.(string) int
getEscapedPath getHost getHostname getPort getScheme: kubernetes.URL.() string
getQuery: kubernetes.URL.() map(string, list(string))
hasValue: optional(A).() bool
or: optional(A).(optional(A)) optional(A)
orValue: optional(A).(A) A
value: optional(A).() A
unwrapOpt: list(optional(A)).() list(A)
indexOf lastIndexOf: string.(string) int | string.(string, int) int | list(A).(A) int
isSorted: list(ordered).() bool
max min: list(ordered).() ordered
sort: list(ordered).() list(ordered)
sum: list(summed).() summed
join: list(string).() string | list(string).(string) string
lowerAscii trim upperAscii: string.() string
replace: string.(string, string) string | string.(string, string, int) string
slice: list(A).(int, int) list(A)
split: string.(string) list(string) | string.(string, int) list(string)
substring: string.(int) string | string.(int, int) string
validate: kubernetes.NamedFormat.(string) optional(list(string))
allowed errored: kubernetes.authorization.Decision.() bool
error reason: kubernetes.authorization.Decision.() string
check: kubernetes.authorization.PathCheck.(string) kubernetes.authorization.Decision | kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.Decision
fieldSelector labelSelector name namespace subresource: kubernetes.authorization.ResourceCheck.(string) kubernetes.authorization.ResourceCheck
group: kubernetes.authorization.Authorizer.(string) kubernetes.authorization.GroupCheck
path: kubernetes.authorization.Authorizer.(string) kubernetes.authorization.PathCheck
resource: kubernetes.authorization.GroupCheck.(string) kubernetes.authorization.ResourceCheck
serviceAccount: kubernetes.authorization.Authorizer.(string, string) kubernetes.authorization.Authorizer
";

static TABLE: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut table: HashMap<_, Vec<_>> = HashMap::new();
    for line in FUNCTIONS.lines() {
        let Some((names, ways)) = line.split_once(": ") else { continue };
        for name in names.split(' ') {
            table.insert(name, ways.split(" | ").flat_map(read).collect());
        }
    }
    table
});

/// The name of a function with the ways to call it; `None` if there is no such function.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static [Overload])> {
    TABLE.get_key_value(name).map(|(name, ways)| (*name, ways.as_slice()))
}

/// Reads the ways to call a function, one for each type that a name stands for.
fn read(way: &'static str) -> Vec<Overload> {
    let named = [("ordered", ORDERED), ("summed", SUMMED)].into_iter().find(|(name, _)| way.contains(name));
    let (name, types) = named.unwrap_or(("", ""));
    types.split(' ').filter_map(|stands_for| Reader { rest: way, name, stands_for }.overload()).collect()
}

struct Reader {
    rest: &'static str,
    /// A name for several types, and the one that it stands for now.
    name: &'static str,
    stands_for: &'static str,
}

impl Reader {
    fn overload(mut self) -> Option<Overload> {
        let is_method = !self.rest.starts_with('(');
        let mut args = if is_method { vec![self.read()?] } else { Vec::new() };
        self.skip(".");
        args.extend(self.list()?);
        self.skip(" ");
        Some(Overload { is_method, args, result: self.read()? })
    }

    fn read(&mut self) -> Option<Type<'static>> {
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.');
        let name = self.rest.get(..end.unwrap_or(self.rest.len()))?;
        // The dot before the arguments is none of the name's.
        let name = name.strip_suffix('.').unwrap_or(name);
        self.rest = self.rest.get(name.len()..)?;
        let name = if name == self.name { self.stands_for } else { name };
        let kind = match name {
            "list" => Kind::List,
            "map" => Kind::Map,
            "optional" => Kind::Optional,
            "type" => Kind::Type,
            _ => return Some(plain(name)),
        };
        Some(Type::made(kind, self.list()?))
    }

    /// Types in parentheses.
    fn list(&mut self) -> Option<Vec<Type<'static>>> {
        let mut types = Vec::new();
        if !self.skip("(") {
            return None;
        }
        while !self.skip(")") {
            types.push(self.read()?);
            self.skip(", ");
        }
        Some(types)
    }

    fn skip(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

fn plain(name: &'static str) -> Type<'static> {
    match name {
        "A" => Type::Var(0),
        "B" => Type::Var(1),
        "dyn" => Type::Dyn,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        _ => Type::Opaque(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(name: &str) -> Vec<String> {
        let show = |overload: &Overload| {
            let args: Vec<_> = overload.args.iter().map(ToString::to_string).collect();
            format!("{} {} -> {}", overload.is_method, args.join(", "), overload.result)
        };
        find(name).unwrap().1.iter().map(show).collect()
    }

    #[test]
    fn every_way_of_every_function_is_read() {
        for line in FUNCTIONS.lines().filter(|line| !line.is_empty()) {
            let (names, ways) = line.split_once(": ").unwrap();
            for name in names.split(' ') {
                assert!(find(name).unwrap().1.len() >= ways.split(" | ").count(), "{line}");
            }
        }
        assert_eq!(shown("matches"), ["false string, string -> bool", "true string, string -> bool"]);
        assert_eq!(shown("getQuery"), ["true kubernetes.URL -> map(string, list(string))"]);
        assert_eq!(shown("optional.none"), ["false  -> optional_type(dyn)"]);
        assert_eq!(shown("sum").len(), 4);
        assert_eq!(shown("max")[4], "true list(timestamp) -> timestamp");
        assert!(find("math.greatest").is_none());
    }
}
