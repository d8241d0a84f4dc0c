use super::*;

/// A module's tools as one line each.
fn tools(text: &str) -> Vec<String> {
    let module = read(text);
    assert!(module.complete, "{:?}", module.errors);
    let show = |tool: &Tool| {
        let parameter = |p: &Parameter| {
            assert_eq!(p.name.span.slice(text), p.name.value);
            let accepts = match &p.accepts {
                Accepts::Value(value) => value.name().to_owned(),
                Accepts::Connections(classes) => classes.join("|"),
                Accepts::Unknown => "?".to_owned(),
            };
            format!("{}: {accepts}{}", p.name.value, if p.is_required() { "" } else { " =" })
        };
        let parameters = tool.init.iter().chain(&tool.parameters).map(parameter).collect::<Vec<_>>().join(", ");
        let marks = [(tool.has_kwargs, " **"), (!tool.known_signature, " signature?"), (!tool.certain, " tool?")];
        let marks: String = marks.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
        format!("{}({parameters}){marks}", tool.name.value)
    };
    module.tools.iter().map(show).collect()
}

#[test]
fn every_spelling_of_the_decorator() {
    for head in [
        "from promptflow.core import tool\n\n@tool\n",
        "from promptflow import tool as t\n@t\n",
        "from promptflow import tool\n@tool(name='x', type=\"python\")\n",
        "import promptflow\n@promptflow.tool\n",
        "import promptflow as pf\n@pf.tool()\n",
        "import promptflow.core\n@promptflow.core.tool\n",
        "from promptflow import *\n@tool\n",
        "from promptflow.core import tool\nfrom promptflow.tracing import trace\n@trace\n@tool\n",
        "try:\n    from promptflow.core import tool\nexcept ImportError:\n    from promptflow import tool\n@tool\n",
    ] {
        for def in ["def", "async def"] {
            assert_eq!(tools(&format!("{head}{def} f(a): return a\n")), ["f(a: object)"], "{head}");
        }
    }
}

#[test]
fn what_may_be_a_tool() {
    let tools = |text: &str| tools(&format!("from promptflow.core import tool\n{text}"));
    assert_eq!(tools("@retry()\n@tool\ndef f(): pass\n"), ["f() signature? tool?"]);
    assert_eq!(tools("if x:\n  @tool\n  def f(): pass\nelse:\n  @tool\n  def f(): pass\n"), ["f() tool?", "f() tool?"]);
    assert_eq!(tools("@tool\ndef f(a): pass\n@tool\ndef f(b): pass\n"), ["f(b: object)"]);
    assert_eq!(tools("@tool\ndef f(a): pass\nf = 1\n"), Vec::<String>::new());
    assert_eq!(tools("if __name__ == '__main__':\n  @tool\n  def f(): pass\n"), Vec::<String>::new());
    assert_eq!(tools("def g():\n  @tool\n  def f(): pass\n"), Vec::<String>::new());
    assert_eq!(tools("class A:\n  @tool\n  def f(self): pass\n"), Vec::<String>::new());
    assert_eq!(super::tests::tools("from x import tool\n@tool\ndef f(): pass\n"), ["f() signature? tool?"]);
    assert_eq!(super::tests::tools("@tool\ndef f(): pass\n"), ["f() signature? tool?"]);
}

#[test]
fn tools_that_the_text_does_not_show() {
    for (text, hidden) in [
        ("from promptflow import tool\ndef f(): pass\ng = tool(f)\n", true),
        ("from promptflow import tool\ndef f(tool):\n  return tool(1)\n", false),
        ("from promptflow import tool\n\n@tool(\n  name='x')\ndef f(): pass\n", false),
        ("from helpers import step\n@step\ndef f(): pass\n", true),
        ("from helpers import Base\nclass A(Base): pass\n", true),
        ("class A(Exception): pass\n@property\ndef f(): pass\n", false),
    ] {
        assert_eq!(read(text).hidden_tools, hidden, "{text}");
    }
    for text in ["from x import *\n", "globals()['f'] = 1\n", "exec('x')\n"] {
        assert!(read(text).dynamic && read(text).defines("f"), "{text}");
    }
}

#[test]
fn a_class_takes_the_inputs_of_its_init_too() {
    let head = "from promptflow.core import ToolProvider, tool\n";
    let init = "  def __init__(self, k: str, z: int = 1):\n    super().__init__()\n";
    let method = "  @tool\n  def f(self, a: float, **kw): pass\n  def g(self): pass\n";
    assert_eq!(
        tools(&format!("{head}class A(ToolProvider):\n{init}{method}")),
        ["f(k: string, z: int =, a: double) **"]
    );
    assert_eq!(tools(&format!("{head}class A(ToolProvider):\n{method}")), ["f(a: double) **"]);
    assert_eq!(tools(&format!("{head}class A(Other):\n{method}")), Vec::<String>::new());
    assert_eq!(
        tools(&format!("from x import Other\n{head}class A(Other):\n{method}")),
        ["f(a: double) ** signature? tool?"]
    );
}

#[test]
fn parameters_as_the_engine_types_them() {
    let head = "import typing as t
from enum import Enum
from typing import Any, Dict, List, Optional, Union
from promptflow.core import tool
from promptflow.connections import AzureOpenAIConnection, CustomConnection as CC, CustomStrongTypeConnection
import promptflow.connections as pc
from elsewhere import Thing
class Mode(str, Enum):
    A = 'a'
class My(CustomStrongTypeConnection):
    key: str
class Plain: pass
";
    for (parameter, accepts) in [
        ("a: int", "a: int"),
        ("a: float = 1", "a: double ="),
        ("a: bool", "a: bool"),
        ("a: str = None", "a: string ="),
        ("a: list", "a: list"),
        ("a: dict", "a: object"),
        ("a: List[str]", "a: object"),
        ("a: list[str]", "a: object"),
        ("a: Any", "a: object"),
        ("a: Optional[int] = None", "a: int ="),
        ("a: t.Optional[t.Union[int, None]] = None", "a: int ="),
        ("a: Union[int, str]", "a: object"),
        ("a: 'int'", "a: object"),
        ("a: int | None", "a: object"),
        ("a: Mode", "a: string"),
        ("a: Thing", "a: ?"),
        ("a: Plain", "a: ?"),
        ("a: CC", "a: CustomConnection"),
        ("a: pc.SerpConnection", "a: SerpConnection"),
        ("a: My", "a: CustomConnection"),
        ("a: Union[CC, AzureOpenAIConnection, None]", "a: AzureOpenAIConnection|CustomConnection"),
        ("a: Optional[Union[CC, AzureOpenAIConnection]]", "a: AzureOpenAIConnection|CustomConnection"),
        ("a: Union[CC, str]", "a: object"),
        ("a: Union[CC, Thing]", "a: ?"),
        ("a", "a: object"),
        ("a=-3", "a: int ="),
        ("a=1.5", "a: double ="),
        ("a=True", "a: bool ="),
        ("a='x'", "a: string ="),
        ("a=None", "a: object ="),
        ("a=[]", "a: list ="),
        ("a={}", "a: object ="),
        ("a=Mode.A", "a: ? ="),
        ("*args, a: int", "a: int"),
    ] {
        let text = format!("{head}@tool\ndef f({parameter}): pass\n");
        assert_eq!(tools(&text), [format!("f({accepts})")], "{parameter}");
    }
}

#[test]
fn connections_that_the_engine_does_not_see() {
    let head = "from promptflow.core import tool\nfrom promptflow.connections import CustomConnection\n";
    let future = "from __future__ import annotations\n";
    for (future, annotation, hidden) in [
        ("", "CustomConnection", None),
        (future, "CustomConnection", Some(Hidden::FutureAnnotations)),
        (future, "str", None),
        ("", "'CustomConnection'", Some(Hidden::Quotes)),
        ("", "CustomConnection | None", Some(Hidden::Bar)),
        ("", "int | None", None),
    ] {
        let module = read(&format!("{future}{head}@tool\ndef f(c: {annotation}): pass\n"));
        let found = module.tools[0].parameters[0].hidden_connection.clone();
        assert_eq!(found, hidden.map(|hidden| ("CustomConnection".to_owned(), hidden)), "{annotation}");
    }
}

#[test]
fn imports_that_must_be_there() {
    let text = "import a.b, c as d
from .e import f
from g.h import i, j as k
try:
    import l
except ImportError:
    import m
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import n
else:
    import o
if x:
    import p
def q():
    import r
if __name__ == '__main__':
    import s
";
    let module = read(text);
    let show =
        |i: &Import| format!("{}{}{}", ".".repeat(i.level as usize), i.module.value, if i.required { "!" } else { "" });
    let imports: Vec<_> = module.imports.iter().map(show).collect();
    assert_eq!(imports, ["a.b!", "c!", ".e!", "g.h!", "l", "m", "typing!", "o!", "p"]);
    for name in ["a", "d", "f", "i", "k", "q", "o"] {
        assert!(module.defines(name), "{name}");
    }
    for name in ["c", "j", "n", "r", "s"] {
        assert!(!module.defines(name), "{name}");
    }
}

#[test]
fn what_is_not_python() {
    let module = read("@tool\ndef f(a) return a\n");
    assert!(!module.complete && module.defines("anything"));
    assert_eq!(module.errors[0].span.slice("@tool\ndef f(a) return a\n"), "return");
    assert!(read("\u{feff}x = 1\r\n").complete);
    assert!(!read(&"(".repeat(100_000)).complete);
}

#[test]
fn syntax_that_older_pythons_lack() {
    let module = read("match x:\n    case 1: pass\nif (n := 1): pass\ns = f\"{d[\"a\"]}\"\n");
    assert!(module.complete);
    let newer: Vec<_> = module.newer.iter().map(|n| (n.since, n.message.as_str())).collect();
    assert_eq!(newer, [(10, "cannot use `match` statement"), (12, "cannot reuse outer quote character in f-strings")]);
}

#[test]
fn comments_and_the_path() {
    let text = "import sys\nsys.path.append('x')  # flowgate: ignore[x] because\n# other\n";
    let module = read(text);
    assert!(module.changes_path);
    assert_eq!(module.comments.iter().map(|c| c.slice(text)).collect::<Vec<_>>(), ["# flowgate: ignore[x] because"]);
}

/// On a stack far smaller than any thread's.
#[test]
fn the_deepest_text_that_is_read() {
    let deepest = |open: &str, repeated: &str| {
        let text = |n: usize| format!("{open}{}\n", repeated.repeat(n));
        let n = (1..2000).take_while(|n| depth::is_modest(&text(*n))).last().unwrap();
        read(&text(n));
        read(&text(n * 100));
    };
    let run = move || {
        for (open, repeated) in
            [("", "["), ("", "f'{"), ("x", ".a"), ("x", "()"), ("x = x", "+x"), ("", "not "), ("x", "**x")]
        {
            deepest(open, repeated);
        }
        deepest("(", "lambda a, b: ");
        deepest("match x:\n case ", "[");
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

proptest::proptest! {
    /// No text makes the reader panic, and every place fits the text.
    #[test]
    fn any_text_is_read(
        words in r"(?s)((from|import|promptflow|tool|@|def|class|async|if|else|:|try|except|with|f|a|\(|\)|\[|\]|=|,|\*|\*\*|\||'|\x22|\\|lambda|match|case|None|str|# flowgate: |é😀|\.|\{|\}|0|->|\n|\n |\n  |\t| ){0,40}){0,4}",
        any in r"(?s).{0,60}",
    ) {
        for text in [words, any] {
            let module = read(&text);
            let spans = module.errors.iter().map(|e| e.span)
                .chain(module.newer.iter().map(|n| n.span))
                .chain(module.comments.iter().copied())
                .chain(module.imports.iter().flat_map(|i| i.names.iter().chain([&i.module])).map(|n| n.span))
                .chain(module.definitions.iter().map(|d| d.name.span))
                .chain(module.tools.iter().flat_map(|t| {
                    std::iter::once(t.name.span).chain(t.parameters.iter().chain(&t.init).flat_map(|p| {
                        [p.span, p.name.span].into_iter().chain(p.default.map(|d| d.span))
                    }))
                }));
            for span in spans {
                assert!(text.get(span.start..span.end).is_some(), "{span:?} in {text:?}");
            }
        }
    }
}
