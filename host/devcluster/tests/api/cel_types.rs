//! The types of rules, which are checked when a definition is written.

use serde_json::{Value, json};

use crate::support::{CRDS, Server, start, widget_definition};

const SPEC: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";

/// A definition with a field of every type, and this rule.
fn definition(rule: Value) -> Value {
    let mut definition = widget_definition();
    definition["spec"]["versions"][0].as_object_mut().unwrap().remove("selectableFields");
    let text = json!({ "type": "string", "maxLength": 10 });
    let formatted = |format: &str| json!({ "type": "string", "format": format, "maxLength": 20 });
    let part = json!({ "type": "object", "properties": { "name": text, "n": { "type": "integer" } } });
    let unknown = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let mut whole = unknown.clone();
    whole["x-kubernetes-embedded-resource"] = json!(true);
    *definition.pointer_mut(SPEC).unwrap() = json!({ "type": "object", "x-kubernetes-validations": [rule],
        "properties": {
            "i": { "type": "integer" }, "n": { "type": "number" }, "b": { "type": "boolean" }, "s": text,
            "t": formatted("date-time"), "d": formatted("duration"), "y": formatted("byte"),
            "mixed": { "x-kubernetes-int-or-string": true, "maxLength": 10 },
            "unknown": unknown, "whole": whole, "hidden": { "x-kubernetes-preserve-unknown-fields": true },
            "o": part, "namespace": text, "a-b": text,
            "l": { "type": "array", "maxItems": 5, "items": text },
            "parts": { "type": "array", "maxItems": 5, "items": part },
            "m": { "type": "object", "maxProperties": 5, "additionalProperties": text },
        } });
    definition
}

/// What a definition with a rule is refused for.
async fn refused(server: &Server, rule: Value) -> Vec<(String, String)> {
    let status = server.post(CRDS, definition(rule)).await.refused(422, "Invalid");
    let part = |cause: &Value, name: &str| cause[name].as_str().unwrap().to_owned();
    let causes = status["details"]["causes"].as_array().unwrap().iter();
    causes.map(|cause| (part(cause, "field"), part(cause, "message"))).collect()
}

#[tokio::test]
async fn an_expression_of_wrong_types_is_refused_with_the_place() {
    let server = start().await;
    for (rule, column, why) in [
        ("self.x > 1", 5, "undefined field 'x'"),
        ("self.unknown.x == 1", 13, "undefined field 'x'"),
        ("self.hidden == 1", 5, "undefined field 'hidden'"),
        ("self.whole.metadata.labels.size() > 0", 20, "undefined field 'labels'"),
        ("self.?x.hasValue()", 5, "undefined field 'x'"),
        ("foo(self.i)", 4, "undeclared reference to 'foo' (in container '')"),
        ("self.i.foo()", 11, "undeclared reference to 'foo' (in container '')"),
        ("other > 1", 1, "undeclared reference to 'other' (in container '')"),
        ("Foo{a: 1} == self", 4, "undeclared reference to 'Foo' (in container '')"),
        ("self.i + self.s == 1", 8, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("self.n + 1 > 2.0", 8, "found no matching overload for '_+_' applied to '(double, int)'"),
        ("self.i == null", 8, "found no matching overload for '_==_' applied to '(int, null)'"),
        ("self.t == '2020'", 8, "found no matching overload for '_==_' applied to '(timestamp, string)'"),
        (
            "self.l == self.m",
            8,
            "found no matching overload for '_==_' applied to '(list(string), map(string, string))'",
        ),
        (
            "self.s.contains(self.i)",
            16,
            "found no matching overload for 'contains' applied to 'string.(int)'",
        ),
        ("self.s.trim('a') == ''", 12, "found no matching overload for 'trim' applied to 'string.(string)'"),
        (
            "self.?s == 'a'",
            9,
            "found no matching overload for '_==_' applied to '(optional_type(string), string)'",
        ),
        (
            "self.?s.orValue(1) == 1",
            16,
            "found no matching overload for 'orValue' applied to 'optional_type(string).(int)'",
        ),
        (
            "quantity(self.s) < quantity('1')",
            18,
            "found no matching overload for '_<_' applied to '(kubernetes.Quantity, kubernetes.Quantity)'",
        ),
        (
            "type(self.i) == 'int'",
            14,
            "found no matching overload for '_==_' applied to '(type(int), string)'",
        ),
        (
            "self.l.map(x, x.size()).exists(y, y == 'a')",
            37,
            "found no matching overload for '_==_' applied to '(int, string)'",
        ),
        (
            "self.b ? self.i : self.s",
            8,
            "found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        ("self.parts.all(x, x.n)", 20, "expected type 'bool' but found 'int'"),
        ("self.i && self.b", 5, "expected type 'bool' but found 'int'"),
        ("[1, 'a'].size() > 0", 5, "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}.size() > 0", 15, "expected type 'int' but found 'string'"),
        ("[?self.s].size() > 0", 7, "expected type 'optional_type(string)' but found 'string'"),
        (
            "self.i.all(x, true)",
            5,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("has(self.i.x)", 4, "type 'int' does not support field selection"),
        ("has(self)", 5, "invalid argument to has() macro"),
        ("self.parts.all(x.y, true)", 17, "argument must be a simple name"),
        ("duration('1 day') > self.d", 10, "invalid duration argument"),
        ("timestamp('now') > self.t", 11, "invalid timestamp argument"),
        ("self.s.matches('(')", 16, "invalid matches argument"),
        (
            "self.i >",
            9,
            "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
    ] {
        let found = refused(&server, json!({ "rule": rule })).await;
        let shown = format!(
            "{{\"Rule\":{},\"Message\":\"\",\"MessageExpression\":\"\",\"Reason\":null,\"FieldPath\":\"\",\"OptionalOldSelf\":null}}",
            json!(rule)
        );
        let shown = shown.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
        let place = format!("{}^", ".".repeat(column - 1));
        let message = format!(
            "Invalid value: {shown}: compilation failed: ERROR: <input>:1:{column}: {why}\n | {rule}\n | {place}"
        );
        assert_eq!(found.len(), 1, "{rule}: {found:?}");
        assert_eq!(found[0].1, message);
    }
}

#[tokio::test]
async fn all_that_is_wrong_with_an_expression_is_told_in_order() {
    let server = start().await;
    let rule = "self.x == 1 ||\n\tself.'ä'";
    let found = refused(&server, json!({ "rule": "self.q && 'ä' == 1 &&\n\tself.x", "message": "m" })).await;
    let places = " | self.q && 'ä' == 1 &&\n | ....^\n\
                  ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(string, int)'\n \
                  | self.q && 'ä' == 1 &&\n | ...........\u{ff0e}..^\n\
                  ERROR: <input>:2:6: undefined field 'x'\n |  self.x\n | .....^";
    assert!(
        found[0].1.ends_with(&format!("ERROR: <input>:1:5: undefined field 'q'\n{places}")),
        "{}",
        found[0].1
    );
    let found = refused(&server, json!({ "rule": rule, "message": "m" })).await;
    assert!(found[0].1.contains("ERROR: <input>:2:7: Syntax error: "), "{}", found[0].1);
}

#[tokio::test]
async fn a_rule_makes_a_truth_and_its_message_a_text() {
    let server = start().await;
    for rule in ["self.i", "self.s", "self.mixed", "self.?b", "int", "null", "[true]", "self.l.map(x, true)"]
    {
        let found = refused(&server, json!({ "rule": rule })).await;
        assert!(found[0].0.ends_with(".rule") && found.len() == 1, "{found:?}");
        assert!(found[0].1.ends_with("}: cel expression must evaluate to a bool"), "{}", found[0].1);
    }
    for (message, why) in [
        ("self.i", "messageExpression must evaluate to a string"),
        ("self.?s", "messageExpression must evaluate to a string"),
        (
            "self.x",
            "messageExpression compilation failed: ERROR: <input>:1:5: undefined field 'x'\n | self.x\n | ....^",
        ),
    ] {
        let found = refused(&server, json!({ "rule": "true", "messageExpression": message })).await;
        assert!(found[0].0.ends_with("x-kubernetes-validations[0].messageExpression"), "{found:?}");
        assert!(found[0].1.ends_with(&format!("}}: {why}")), "{}", found[0].1);
    }
    let found = refused(&server, json!({ "rule": "oldSelf.i == 1", "optionalOldSelf": true })).await;
    assert!(found[0].1.contains("applied to '(optional_type(int), int)'"), "{}", found[0].1);
    assert_eq!(found[1].1, "Invalid value: true: may not be set if oldSelf is not used in rule");
}

#[tokio::test]
async fn what_the_types_do_not_forbid_is_taken() {
    let server = start().await;
    for rule in [
        "self.mixed == 1 || self.mixed == 'a' || self.mixed + 1 == 2",
        "type(self.mixed) == int ? self.mixed > 0 : self.mixed.endsWith('%')",
        "self.o == null || self.unknown == null || self == oldSelf",
        "self.i > 1.5 && self.n > 1 && self.i in [1, 2]",
        "self.t + self.d > timestamp('2020-01-01T00:00:00Z') && self.d.getSeconds() > 1 && self.y == b'a'",
        "self.whole.metadata.name == self.whole.kind",
        "self.__namespace__ == self.a__dash__b && has(self.o.name)",
        "self.l + [] == [] && self.m != {} && [[], ['a']].size() == 2 && self.l[0] == self.m['a'] && self.m.b == 'c'",
        "self.parts.map(p, {'k': p}).all(x, x.k.n > 0 && x['k'].name == 'a')",
        "self.parts.all(p, self.parts.exists_one(q, p.name == q.name && (has(p.n) ? p.n == q.n : !has(q.n))))",
        "[dyn(1), dyn('a')].size() == 2 && dyn(self.i) == 'a'",
        "self.?o.name.orValue('') == '' && self.?m[?'a'].optMap(x, x.size()).orValue(0) < 2",
        "self.l.all(i, x, i < 5) && self.m.transformMap(k, v, v.size())['a'] == 1",
        "self.l.all(self, self == 'a') && self.l.sortBy(x, x.size()).size() < 9",
        "cidr(self.s).containsIP(ip('10.0.0.1')) && url(self.s).getQuery()['a'][0] == '' && semver(self.s).major() == 1",
        "!format.dns1123Label().validate(self.s).hasValue() && sets.contains(self.l, ['a'])",
        "type(self.t) == google.protobuf.Timestamp && type(self.l) == list",
    ] {
        let body = definition(json!({ "rule": rule }));
        let answer = server.post(&format!("{CRDS}?dryRun=All"), body).await;
        assert!(answer.code < 300, "{rule}: {}", answer.body);
    }
}

#[tokio::test]
async fn an_expression_that_is_made_to_take_long_is_judged_quickly() {
    let server = start().await;
    let started = std::time::Instant::now();
    let chain = |part: &str, times: usize| format!("[1]{}.size() > 0", part.repeat(times));
    for rule in [
        chain(".map(x, {x: x})", 100),
        chain(".map(x, [[[[x]]]])", 100),
        format!("[{}].size() > 0", vec!["[]"; 5000].join(",")),
        format!("{} == []", vec!["[[[]]]"; 1500].join(" + ")),
        format!("self.?i{}.hasValue()", ".optMap(x, x)".repeat(40)),
        format!("self.l.all(x, {}true{})", "self.l.all(x, ".repeat(90), ")".repeat(90)),
        vec!["self.i == 1"; 1300].join(" || "),
    ] {
        let body = definition(json!({ "rule": rule, "message": "m" }));
        let answer = server.post(&format!("{CRDS}?dryRun=All"), body).await;
        assert!(answer.code < 500, "{}", answer.body);
    }
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
}
