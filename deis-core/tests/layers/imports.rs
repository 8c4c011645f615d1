//! The paths that a source file names, absolute within its crate. Comments and texts are none, nor are macros.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The module of a file: `plan/rollout/tests.rs` is `plan::rollout::tests`.
pub(super) fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs");
    let parts = stem.split('/').map(str::to_owned);
    parts.filter(|part| !matches!(part.as_str(), "mod" | "lib")).collect()
}

/// Every path in `text` that begins with `crate`, `super` or `self`, from the root of the crate (`port::Store`).
pub(super) fn paths(module: &[String], text: &str) -> Vec<String> {
    let tokens: TokenStream = text.parse().expect("the file is made of Rust tokens");
    let mut found = Vec::new();
    walk(&tokens.into_iter().collect::<Vec<_>>(), module, &mut found);
    found.into_iter().map(|path| path.join("::")).collect()
}

fn walk(tokens: &[TokenTree], module: &[String], found: &mut Vec<Vec<String>>) {
    let mut at = 0;
    while at < tokens.len() {
        let starts = matches!(ident(tokens, at).as_deref(), Some("crate" | "super" | "self"));
        if starts && !follows_path(tokens, at) {
            at = path(tokens, at, None, module, found);
            continue;
        }
        if let TokenTree::Group(group) = &tokens[at] {
            let inner: Vec<TokenTree> = group.stream().into_iter().collect();
            let inline = (at >= 2 && group.delimiter() == Delimiter::Brace)
                .then(|| ident(tokens, at - 2).filter(|word| word == "mod").and(ident(tokens, at - 1)))
                .flatten();
            let below: Vec<String> = module.iter().cloned().chain(inline).collect();
            walk(&inner, &below, found);
        }
        at += 1;
    }
}

/// Reads one path from `at` on, or the rest of one that began with `before`; a brace opens several. Returns where it ends.
fn path(
    tokens: &[TokenTree],
    mut at: usize,
    before: Option<&[String]>,
    module: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = before.unwrap_or_default().to_vec();
    // `None` as long as only `crate`, `super` and `self` came: these choose the module to begin at.
    let mut depth = before.is_none().then_some(module.len());
    loop {
        match (&tokens.get(at), ident(tokens, at).as_deref(), depth) {
            (_, Some("crate"), Some(_)) => depth = Some(0),
            (_, Some("super"), Some(n)) => depth = Some(n.saturating_sub(1)),
            (_, Some("self"), _) => {}
            (_, Some(word), _) => {
                begin(&mut path, &mut depth, module);
                path.push(word.to_owned());
            }
            (Some(TokenTree::Group(group)), _, _) if group.delimiter() == Delimiter::Brace => {
                begin(&mut path, &mut depth, module);
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let is_comma = |t: &TokenTree| matches!(t, TokenTree::Punct(p) if p.as_char() == ',');
                for branch in inner.split(is_comma).filter(|branch| !branch.is_empty()) {
                    self::path(branch, 0, Some(&path), module, found);
                }
                return at + 1;
            }
            (Some(TokenTree::Punct(star)), _, _) if star.as_char() == '*' => {
                begin(&mut path, &mut depth, module);
                path.push("*".to_owned());
            }
            _ => break,
        }
        at += 1;
        if !is_colons(tokens, at) {
            break;
        }
        at += 2;
    }
    begin(&mut path, &mut depth, module);
    let is_macro = matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == '!');
    if !path.is_empty() && !is_macro {
        found.push(path);
    }
    at
}

/// Puts the module in which a relative path begins before it, once.
fn begin(path: &mut Vec<String>, depth: &mut Option<usize>, module: &[String]) {
    if let Some(depth) = depth.take() {
        path.extend_from_slice(&module[..depth]);
    }
}

fn ident(tokens: &[TokenTree], at: usize) -> Option<String> {
    match tokens.get(at) {
        Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
        _ => None,
    }
}

fn is_colons(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |at| matches!(tokens.get(at), Some(TokenTree::Punct(p)) if p.as_char() == ':');
    colon(at) && colon(at + 1)
}

/// Whether the word at `at` goes on a path instead of beginning one.
fn follows_path(tokens: &[TokenTree], at: usize) -> bool {
    at >= 2 && is_colons(tokens, at - 2)
}
