//! Text of a plugin's that people will read outside of the log: it forges no line, no colour and no
//! direction of writing, and is as long as it may be.

/// What stands at the end of a text that was cut.
const CUT: char = '…';
/// Bytes of an [`excerpt`].
const EXCERPT: usize = 100;

/// The text without control characters (what ends a line or moves on becomes a space), at most so many
/// bytes.
pub fn printable(text: &str, bytes: usize) -> String {
    let mut out = String::with_capacity(text.len().min(bytes));
    for c in text.chars().filter_map(kept) {
        if out.len() + c.len_utf8() > bytes {
            cut(&mut out, bytes);
            break;
        }
        out.push(c);
    }
    out
}

/// What an error message shows of a text that is wrong.
pub fn excerpt(text: &str) -> String {
    printable(text, EXCERPT)
}

fn kept(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Some(' '),
        // They turn around what a terminal shows, and are seen by nobody.
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => None,
        c => (!c.is_control()).then_some(c),
    }
}

/// Makes room for the mark, which is only set where it fits.
fn cut(text: &mut String, bytes: usize) {
    if bytes < CUT.len_utf8() {
        return;
    }
    while text.len() + CUT.len_utf8() > bytes {
        text.pop();
    }
    text.push(CUT);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_control_characters_and_hidden_ones_are_left_out() {
        assert_eq!(printable("a\u{1b}[31mb\0c\u{7}", 100), "a[31mbc");
        assert_eq!(printable("one\ntwo\r\u{2028}three\tfour", 100), "one two  three four");
        assert_eq!(printable("\u{202e}txt.exe\u{200b}\u{feff}", 100), "txt.exe");
        assert_eq!(printable("schön 日本", 100), "schön 日本");
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters_and_says_so() {
        assert_eq!(printable("abcdef", 6), "abcdef");
        assert_eq!(printable("abcdefg", 6), "abc…");
        assert_eq!(printable("ééééé", 6), "é…");
        assert_eq!(printable("abc", 2), "ab");
    }

    /// Any characters at all, those of control among them.
    fn texts() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..200).prop_map(String::from_iter)
    }

    proptest! {
        #[test]
        fn whatever_comes_it_fits_and_can_be_printed(text in texts(), bytes in 0usize..50) {
            let out = printable(&text, bytes);
            prop_assert!(out.len() <= bytes);
            prop_assert!(!out.contains(char::is_control));
            prop_assert_eq!(printable(&out, bytes), out);
        }
    }
}
