//! How deep a text nests and how many words it has, before it is parsed.
//!
//! A parser, and whoever drops its tree, goes as deep as the text does. The words tell an upper
//! bound: brackets and indentation nest, and within one bracket every operator, dot, call and
//! prefix may nest once more until a comma ends the expression.

use ruff_python_ast::token::TokenKind as Kind;
use ruff_python_parser::Mode;
use ruff_python_parser::lexer::lex;

/// The deepest nesting that is read. CPython refuses 200 brackets and 100 indentations; sums of a
/// few hundred terms are seen in the wild.
const MAX_DEPTH: usize = 800;

/// The most words that are read: a tree takes about a hundred bytes for each. A megabyte of code, which nobody wrote by
/// hand, has three hundred thousand.
const MAX_WORDS: usize = 500_000;

/// One bracket, and what may nest directly in it.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Since the last comma.
    chain: usize,
    /// Since the bracket: the commas of a `lambda` do not end it.
    lambdas: usize,
}

/// True where reading `text` needs no more stack than any thread has, and memory in bounds.
pub(super) fn is_modest(text: &str) -> bool {
    // A level takes a word.
    if text.len() <= MAX_DEPTH {
        return true;
    }
    let mut lexer = lex(text, Mode::Module);
    let mut open: Vec<Level> = Vec::new();
    // The level that no bracket is around.
    let mut level = Level::default();
    let mut outer = 0;
    let mut indents: usize = 0;
    for _ in 0..MAX_WORDS {
        match lexer.next_token() {
            Kind::EndOfFile => return true,
            Kind::Indent => indents += 1,
            Kind::Dedent => indents = indents.saturating_sub(1),
            Kind::Newline => {
                open.clear();
                level = Level::default();
                outer = 0;
            }
            Kind::Semi if open.is_empty() => level = Level::default(),
            Kind::Comma if !open.is_empty() => level.chain = 0,
            Kind::Lambda => level.lambdas += 1,
            Kind::Lpar | Kind::Lsqb | Kind::Lbrace | Kind::FStringStart | Kind::TStringStart => {
                // The bracket may also be a call of what stands before it.
                level.chain += 1;
                outer += level.chain + level.lambdas;
                open.push(level);
                level = Level::default();
            }
            Kind::Rpar | Kind::Rsqb | Kind::Rbrace | Kind::FStringEnd | Kind::TStringEnd => {
                if let Some(around) = open.pop() {
                    outer -= around.chain + around.lambdas;
                    level = around;
                }
            }
            Kind::Name | Kind::Int | Kind::Float | Kind::Complex | Kind::String => {}
            Kind::FStringMiddle | Kind::TStringMiddle | Kind::Comment | Kind::NonLogicalNewline => {}
            Kind::Semi | Kind::Comma | Kind::True | Kind::False | Kind::None => {}
            _ => level.chain += 1,
        }
        if outer + level.chain + level.lambdas + indents > MAX_DEPTH {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{MAX_WORDS, is_modest};

    #[test]
    fn what_people_write_is_modest() {
        let table: String = (0..5000).map(|n| format!("  'k{n}': [-{n}, a.b(c) if d else e],\n")).collect();
        assert!(is_modest(&format!("x = {{\n{table}}}\n")));
        assert!(is_modest(&"if a:\n  b = c.d(e)[f]\nelif g:\n  pass\n".repeat(2000)));
        assert!(is_modest(&"x = 1, 2; y = -1; ".repeat(2000)));
        assert!(is_modest(&"x\n".repeat(MAX_WORDS / 2 - 1)));
        assert!(is_modest(""));
    }

    #[test]
    fn what_nests_is_deep() {
        for (open, repeated) in [
            ("", "("),
            ("", "x = [{("),
            ("", "f'{"),
            ("", "not "),
            ("", "-"),
            ("x", ".a"),
            ("x", "()"),
            ("x", "[0]"),
            ("x", " + x"),
            ("x", " if x else x"),
            ("", "lambda: "),
            ("(", "lambda a, b: "),
            ("", "lambda a, b: "),
            ("", "await "),
            ("", "async "),
            ("", "if a: "),
            ("", "for a in "),
            ("x", "**x"),
            ("", "*"),
            ("", "yield "),
            ("", "@"),
        ] {
            let text = format!("{open}{}", repeated.repeat(50_000));
            assert!(!is_modest(&text), "{repeated:?}");
        }
        assert!(!is_modest(&"x\n".repeat(MAX_WORDS / 2)));
        let indented: String = (0..2000).map(|n| format!("{}if x:\n", " ".repeat(n))).collect();
        assert!(!is_modest(&indented));
    }
}
