use crate::context::Context;
use crate::finding::{Applicability, Finding, Level, Place};
use crate::package_tools::PackageTool;
use crate::prompts::{self, Api, Prompt, Renderer};
use crate::rule::{Group, Rule};
use crate::suggest;
use flowgate_flow::Span;
use flowgate_flow::project::TemplateFile;
use flowgate_flow::template::{Opening, ROLES};

/// What other tools call a role.
const OTHER_ROLES: [&str; 4] = ["developer", "human", "ai", "model"];

pub(super) const RULE: Rule = Rule {
    name: "chat-prompt-missing-role",
    group: Group::Prompts,
    level: Level::Error,
    summary: "The prompt of a chat node or a chat prompty that does not start with a role line.",
    cases: &[],
    why: "The tool splits the rendered prompt at lines such as `system:` or `# user:` (also `assistant`, `function`, `tool`), with nothing else on them, and fails on a prompt that starts with anything else: `ChatAPIInvalidRole: The Chat API requires a specific format for prompt definition`. It fails when the flow runs, not when it is loaded. Nothing is said where the prompt starts with a variable or a condition.",
    bad: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\nSummarize: {{ text }}\n",
    good: "#- flow.dag.yaml\ninputs:\n  text: {type: string}\nnodes:\n- name: ask\n  type: llm\n  source: {type: code, path: ask.jinja2}\n  inputs:\n    deployment_name: gpt-4\n    text: ${inputs.text}\n  api: chat\n  connection: aoai\noutputs:\n  answer: {type: string, reference: '${ask.output}'}\n#- ask.jinja2\n# system:\nSummarize: {{ text }}\n",
    fix: Some(
        "Adds `# system:`, breaks the line behind a role, or corrects the role. Unsafe: another role may be meant. Takes out a byte order mark in front of a role (safe).",
    ),
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    if let Some((_, template, true)) = prompts::prompty(context) {
        return opening(context, template).into_iter().collect();
    }
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let chats = prompts::prompts(context, dag).filter(|prompt| is_chat(prompt) && !prompt.is_replaced());
    let of = |prompt: Prompt<'_>| {
        let finding = opening(context, prompt.file)?;
        Some(finding.related(dag.node_place(prompt.node), "the chat node"))
    };
    chats.filter_map(of).collect()
}

fn is_chat(prompt: &Prompt<'_>) -> bool {
    match prompt.renderer {
        Renderer::Llm(api) => api == Api::Chat,
        // Its API is an input, and chat where it is none.
        Renderer::Tool(PackageTool { id: "promptflow.tools.llm.llm", .. }) => {
            let api = prompt.node.inputs.iter().find(|(name, _)| name.value == "api");
            api.is_none_or(|(_, value)| value.text() == Some("chat"))
        }
        _ => false,
    }
}

fn opening(context: &Context<'_>, file: &TemplateFile) -> Option<Finding> {
    let text = context.project.text(file.file);
    let place = |span| Place { file: file.file, span };
    match &file.template.opening {
        Opening::Unknown | Opening::Empty | Opening::Role => None,
        Opening::Text(span) => {
            // A line that goes on with a tag is not seen whole.
            let rest = text.get(span.end..)?.trim_start_matches([' ', '\t']);
            let whole = rest.is_empty() || rest.starts_with(['\r', '\n']);
            Some(text_first(context, place(*span), span.slice(text), whole))
        }
        Opening::Inline { role, certain } => {
            let level = if *certain { Level::Error } else { Level::Warning };
            let behind = text.get(role.span.end..)?;
            let colon = role.span.end + behind.find(':')? + 1;
            let white = text.get(colon..)?.chars().take_while(|c| matches!(c, ' ' | '\t')).count();
            let message = format!("`{}:` is no role line with text behind it", role.value);
            let end = Span::new(colon, colon + white);
            Some(
                Finding::new(level, place(Span::new(role.span.start, colon)), message)
                    .help("put the text on the next line")
                    .fix(Applicability::Unsafe, "break the line", place(end), "\n"),
            )
        }
    }
}

/// What is said of a prompt that starts with that line.
fn text_first(context: &Context<'_>, at: Place, line: &str, whole: bool) -> Finding {
    let start = at.span.start;
    if line.starts_with('\u{feff}') {
        let mark = Place { span: Span::new(start, start + '\u{feff}'.len_utf8()), ..at };
        let finding = Finding::error(mark, "a byte order mark stands before the first role");
        return finding.help("save the file as UTF-8 without one").fix(
            Applicability::Safe,
            "remove the byte order mark",
            mark,
            "",
        );
    }
    let word = line.trim_start_matches('#').trim_start();
    let offset = start + (line.len() - word.len());
    if let Some(name) = word.strip_suffix(':').map(str::trim_end).filter(|_| whole)
        && let near = context.nearest(name, ROLES.into_iter())
        && (near.is_some() || OTHER_ROLES.contains(&name))
    {
        let at = Place { span: Span::new(offset, offset + name.len()), ..at };
        let finding = Finding::error(at, format!("`{name}` is no role of a chat prompt"));
        return match near {
            Some(near) => suggest::meant(finding, near),
            None => finding.help(format!("use one of {}", ROLES.join(", "))),
        };
    }
    let insert = Place { span: Span::empty(start), ..at };
    Finding::error(at, "a chat prompt must start with a role line").help("add `# system:` on a line of its own").fix(
        Applicability::Unsafe,
        "add `# system:`",
        insert,
        "# system:\n",
    )
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    fn of(template: &str) -> String {
        format!(
            "#- flow.dag.yaml
nodes:
- {{name: a, type: llm, source: {{path: a.jinja2}}, inputs: {{q: x}}, api: chat, connection: c}}
- {{name: b, type: custom_llm, source: {{type: package_with_prompt, tool: promptflow.tools.llm.llm, path: b.jinja2}}, inputs: {{api: completion}}}}
- {{name: c, type: llm, source: {{path: b.jinja2}}, inputs: {{prompt: '${{a.output}}'}}, api: chat, connection: c}}
- {{name: d, type: llm, source: {{path: b.jinja2}}, api: completion, connection: c}}
#- a.jinja2
{template}#- b.jinja2
Complete this
"
        )
    }

    #[test]
    fn a_prompty() {
        let prompty = |api: &str, body: &str| {
            format!(
                "#- p.prompty\n---\nmodel: {{{api}configuration: {{type: openai, model: gpt-4}}, parameters: {{}}}}\n---\n{body}"
            )
        };
        let found = "You are\n#^^^^^^ error[chat-prompt-missing-role]: a chat prompt must start with a role line\n";
        fixture::raises(&super::RULE, &prompty("", found));
        fixture::raises(&super::RULE, &prompty("api: completion, ", "You are\n"));
        fixture::raises(&super::RULE, &prompty("", "\n# System:\nYou are\n"));
    }

    #[test]
    fn what_it_starts_with() {
        for template in [
            "{# c #}\nYou are
#^^^^^^ error[chat-prompt-missing-role]: a chat prompt must start with a role line
user:
{{ q }}
",
            "# system: {{ q }}
# ^^^^^^^ warning[chat-prompt-missing-role]: `system:` is no role line with text behind it
",
            "System: hi
#^^^^^^ error[chat-prompt-missing-role]: `system:` is no role line with text behind it
",
            "# systm:
# ^^^^^ error[chat-prompt-missing-role]: `systm` is no role of a chat prompt
{{ q }}
",
            "Instructions:
#^^^^^^^^^^^^ error[chat-prompt-missing-role]: a chat prompt must start with a role line
{{ q }}
",
            "developer:
#^^^^^^^^ error[chat-prompt-missing-role]: `developer` is no role of a chat prompt
",
            "{{ q }}\n",
            "{% if q %}You{% endif %}\n",
            "\n # User :\n{{ q }}\n",
        ] {
            fixture::raises(&super::RULE, &of(template));
        }
    }

    #[test]
    fn fixes() {
        for (template, fixed) in [
            ("system:  hi\n", "system:\nhi\n"),
            ("\u{feff}system:\nhi\n", "system:\nhi\n"),
            ("# systm:\nhi\n", "# system:\nhi\n"),
        ] {
            assert!(fixture::fixed(&of(template)).contains(&format!("#- a.jinja2\n{fixed}#- b")), "{template}");
        }
    }

    #[test]
    fn the_api_of_the_llm_tool_is_chat_by_default() {
        for (inputs, finds) in [("{}", true), ("{api: chat}", true), ("{api: '${x.output}'}", false)] {
            let (_, findings) = fixture::findings(&fixture::files(&format!(
                "#- flow.dag.yaml\nnodes:\n- name: b\n  type: custom_llm\n  source: {{type: package_with_prompt, tool: promptflow.tools.llm.llm, path: b.jinja2}}\n  inputs: {inputs}\n#- b.jinja2\nComplete this\n"
            )));
            assert_eq!(findings.iter().any(|finding| finding.rule == "chat-prompt-missing-role"), finds, "{inputs}");
        }
    }
}
