//! How deep a template may be. The parser bounds the nesting of brackets and blocks by itself, but
//! not chains (`a.b.c`, `not not a`, `elif ... elif`), which nest in its tree from the left: to build
//! or to drop a long one would need a stack as long as the text.

use minijinja::machinery::Token;

/// Tokens of one expression that no comma separates, brackets included.
const MAX_CHAIN: usize = 500;
/// `elif` branches of a template.
const MAX_BRANCHES: usize = 200;

/// The parser counts columns in 16 bits.
const MAX_LINE: usize = u16::MAX as usize - 8;

/// True for a text that the parser is given.
pub(super) fn fits(body: &str) -> bool {
    body.len() <= super::MAX_BYTES && body.split('\n').all(|line| line.len() <= MAX_LINE)
}

/// Counts tokens.
#[derive(Debug)]
pub(super) struct Bounds {
    /// The tokens since the last comma, for each open bracket.
    levels: Vec<usize>,
    chain: usize,
    branches: usize,
    exceeded: bool,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { levels: vec![0], chain: 0, branches: 0, exceeded: false }
    }
}

impl Bounds {
    /// True where no bound was exceeded.
    pub(super) fn kept(&self) -> bool {
        !self.exceeded
    }

    pub(super) fn count(&mut self, token: &Token<'_>) {
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::BlockStart => {
                self.levels.clear();
                self.levels.push(0);
                self.chain = 0;
                return;
            }
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => self.levels.push(0),
            Token::ParenClose | Token::BracketClose | Token::BraceClose if self.levels.len() > 1 => {
                // What stood in the brackets is beside the chain, not in it.
                self.chain -= self.levels.pop().unwrap_or(0);
            }
            Token::Comma => {
                self.chain -= self.levels.last_mut().map_or(0, std::mem::take);
            }
            Token::Ident("elif") => self.branches += 1,
            _ => {}
        }
        self.chain += 1;
        if let Some(level) = self.levels.last_mut() {
            *level += 1;
        }
        self.exceeded |= self.chain > MAX_CHAIN || self.branches > MAX_BRANCHES;
    }
}
