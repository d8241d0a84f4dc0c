use std::path::Path;

use expect_test::expect;
use flowgate_flow::load::{self, Memory};

use super::{Graph, mermaid, svg};

const FLOW: &str = "inputs:
  text: {type: string}
nodes:
- {name: ask, use_variants: true}
- {name: 'cut <b>\"#', type: python, source: {path: cut.py}, inputs: {x: '${inputs.text}', y: '${gone.output}'}, activate: {when: '${ask.output}', is: yes}}
- {name: total, type: python, source: {path: cut.py}, aggregation: true, inputs: {x: '${ask.output}'}}
node_variants:
  ask:
    default_variant_id: short
    variants:
      short: {node: {type: llm, source: {path: ask.jinja2}, inputs: {text: '${inputs.text}'}}}
      long: {node: {type: llm, source: {path: ask.jinja2}, inputs: {text: '${inputs.text}', more: '${total.output}'}}}
outputs:
  answer: {type: string, reference: '${ask.output}'}
";

fn graph(flow: &str) -> Graph {
    let files = [("flow.dag.yaml", flow), ("cut.py", ""), ("ask.jinja2", "")];
    let files = files.map(|(name, text)| (Path::new("/greet").join(name), text.as_bytes().to_vec())).into();
    let project = load::load_project(&Memory { files }, Path::new("/greet/flow.dag.yaml"));
    let findings = flowgate_check::check(&project, &Default::default(), &Default::default());
    let findings: Vec<_> = findings.into_iter().filter(|finding| finding.rule == "unknown-node-reference").collect();
    Graph::of(&project, &findings).expect("a DAG")
}

#[test]
fn mermaid_shows_kinds_conditions_variants_and_findings() {
    expect![[r##"
        flowchart TD
          b0[/"<b>inputs</b><br/>text: string"/]
          b1(["<b>ask</b><br/>llm · ask.jinja2<br/>variants: short (default), long"])
          b2["<b>cut #60;b#62;#34;#35;</b><br/>python · cut.py<br/>if ${ask.output} is yes<br/><i>1 error</i>"]
          b3[["<b>total</b><br/>python · cut.py<br/>once, after all lines"]]
          b4[/"<b>outputs</b><br/>answer: string"/]
          b0 --> b1
          b0 --> b2
          b1 -. if .-> b2
          b1 --> b3
          b1 --> b4
          b3 -. variant .-> b1
          classDef error stroke:#d1242f,stroke-width:3px
          class b2 error
        %% cut <b>"#: error[unknown-node-reference]: there is no node `gone`
    "##]]
    .assert_eq(&mermaid::render(&graph(FLOW)));
}

#[test]
fn a_name_is_text_and_a_condition_keeps_its_value() {
    let when = format!("${{{}.output}}", "score_of_the_answer_to_the_question".repeat(2));
    let node = format!("- {{name: '%%{{init: {{\"theme\": \"dark\"}}}}%%', activate: {{when: '{when}', is: urgent}}}}");
    let graph = graph(&format!("nodes:\n{node}\n"));
    expect![[r#"
        flowchart TD
          b0["<b>#37;#37;{init: {#34;theme#34;: #34;dark#34;}}#37;#37;</b><br/>if ${score_of_the_answer_to_the_questionscore_of_the_answer_to_the_question.outp<br/>is urgent<br/><i>1 error</i>"]
          classDef error stroke:#d1242f,stroke-width:3px
          class b0 error
        %% %%(init: ("theme": "dark"))%%: error[unknown-node-reference]: there is no node `score_of_the_answer_to_the_questionscore_of_the_answer_to_the_question`
    "#]].assert_eq(&mermaid::render(&graph));
    assert!(svg::render(&graph).contains(">is urgent<"));
}

#[test]
fn svg_is_well_formed_and_keeps_hostile_names_as_text() {
    let picture = svg::render(&graph(&FLOW.replace("total", "'</text><script>\u{1b}'")));
    assert!(!picture.contains("<script") && !picture.contains('\u{1b}'), "{picture}");
    assert!(picture.contains("cut &lt;b&gt;&quot;#"));
    for (open, close) in [("<g ", "</g>"), ("<text ", "</text>"), ("<path ", "</path>")] {
        let opened = picture.matches(open).count() - usize::from(open == "<path ");
        assert_eq!(opened, picture.matches(close).count(), "{open}");
    }
}

#[test]
fn any_flow_is_drawn() {
    for flow in ["", "nodes: []", "nodes: [{name: a, inputs: {x: '${a.output}'}}]", "nodes: [{}, {}]\noutputs: {o: 1}"]
    {
        let graph = graph(flow);
        assert!(mermaid::render(&graph).starts_with("flowchart"));
        assert!(svg::render(&graph).ends_with("</svg>\n"));
    }
}
