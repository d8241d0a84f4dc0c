use crate::context::{Context, Dag};
use crate::finding::{Finding, Level};
use crate::rule::{Group, Rule};
use flowgate_flow::model::{Input, Output};
use flowgate_flow::yaml::Node as Yaml;

pub(super) const RULE: Rule = Rule {
    name: "incomplete-chat-flow",
    group: Group::Flow,
    level: Level::Warning,
    summary: "A chat flow without exactly one chat input, one chat output and a chat history.",
    cases: &["several-chat-inputs", "several-chat-outputs", "missing-chat-history"],
    why: "The flow still runs as any other. As a chat (`pf flow test --interactive`, the chat window, a deployed chat) it is refused, or the history is not passed on.",
    bad: "#- flow.dag.yaml\ninputs:\n  question:\n    type: string\n    is_chat_input: true\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n    is_chat_output: true\n",
    good: "#- flow.dag.yaml\ninputs:\n  chat_history:\n    type: list\n    is_chat_history: true\n  question:\n    type: string\n    is_chat_input: true\noutputs:\n  answer:\n    type: string\n    reference: ${inputs.question}\n    is_chat_output: true\n",
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let Some(dag) = context.dag().filter(|dag| dag.flow.complete) else { return Vec::new() };
    let inputs: Vec<&Input> = dag.flow.inputs.iter().filter(|input| is_set(&input.yaml, "is_chat_input")).collect();
    let outputs: Vec<&Output> =
        dag.flow.outputs.iter().filter(|output| is_set(&output.yaml, "is_chat_output")).collect();
    let warning = |at, message: &str| Finding::new(Level::Warning, at, message);
    let mut findings = Vec::new();
    for input in inputs.iter().skip(1) {
        let message = "a chat flow has one chat input, and this is another one";
        findings
            .push(warning(dag.place(input.name.span), message).related(dag.place(inputs[0].name.span), "the first"));
    }
    for output in outputs.iter().skip(1) {
        let message = "a chat flow has one chat output, and this is another one";
        findings
            .push(warning(dag.place(output.name.span), message).related(dag.place(outputs[0].name.span), "the first"));
    }
    match (inputs.first(), outputs.first()) {
        (None, Some(output)) => {
            let message = "the flow has a chat output and no chat input";
            findings.push(
                warning(dag.place(output.name.span), message)
                    .help("add `is_chat_input: true` to the input that takes the question"),
            );
        }
        (Some(input), output) => {
            if output.is_none() && !dag.flow.outputs.is_empty() {
                let message = "the flow has a chat input and no chat output";
                findings.push(
                    warning(dag.place(input.name.span), message)
                        .help("add `is_chat_output: true` to the output that holds the answer"),
                );
            }
            if !has_history(dag) {
                let message = "the flow has a chat input and no chat history";
                let help = "add an input `chat_history: {type: list, is_chat_history: true}`";
                findings.push(warning(dag.place(input.name.span), message).help(help));
            }
        }
        (None, None) => {}
    }
    findings
}

/// An input that is marked as the history, or that has the history's name and is not marked as
/// something else.
fn has_history(dag: Dag<'_>) -> bool {
    dag.flow.inputs.iter().any(|input| {
        let mark = input.yaml.get("is_chat_history").map(|entry| &entry.value);
        let denied = mark.and_then(|mark| mark.scalar()?.as_bool()) == Some(false);
        mark.is_some_and(Yaml::is_truthy) || input.name.value == "chat_history" && !denied
    })
}

fn is_set(yaml: &Yaml, key: &str) -> bool {
    yaml.get(key).is_some_and(|entry| entry.value.is_truthy())
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn one_of_each() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  chat_history: {type: list, is_chat_history: false}
  a: {type: string, is_chat_input: true}
# ^ warning[incomplete-chat-flow]: the flow has a chat input and no chat output
# ^ warning[incomplete-chat-flow]: the flow has a chat input and no chat history
  b: {type: string, is_chat_input: true}
# ^ warning[incomplete-chat-flow]: a chat flow has one chat input, and this is another one
outputs:
  o: {type: string, reference: '${inputs.a}', is_chat_output: false}
",
        );
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  a: {type: string, is_chat_input: false}
outputs:
  o: {type: string, reference: '${inputs.a}', is_chat_output: true}
# ^ warning[incomplete-chat-flow]: the flow has a chat output and no chat input
  p: {type: string, reference: '${inputs.a}', is_chat_output: true}
# ^ warning[incomplete-chat-flow]: a chat flow has one chat output, and this is another one
",
        );
    }

    #[test]
    fn the_name_is_enough_for_a_history_and_no_output_for_an_output() {
        fixture::raises(
            &super::RULE,
            "#- flow.dag.yaml
inputs:
  chat_history: {type: list}
  a: {type: string, is_chat_input: true}
",
        );
    }
}
