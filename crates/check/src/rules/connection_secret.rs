use crate::context::Context;
use crate::finding::{Finding, Level, Place};
use crate::rule::{Group, Rule};
use flowgate_flow::project::FileId;

pub(super) const RULE: Rule = Rule {
    name: "connection-secret",
    group: Group::Siblings,
    level: Level::Error,
    summary: "A real key or token in a connection file, or in the model's configuration of a prompty.",
    cases: &[],
    why: "Who can read the repository has it, and it stays in the history after it is removed. `pf connection create` asks for every value that is `<user-input>`; a prompty takes `${env:NAME}` from the environment. The value is shown in no message and no excerpt.",
    bad: "#- connection.yaml\n$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json\nname: aoai\ntype: azure_open_ai\napi_key: 0a1b2c3d4e5f60718293a4b5c6d7e8f9\napi_base: https://contoso.openai.azure.com\n",
    good: "#- connection.yaml\n$schema: https://azuremlschemas.azureedge.net/promptflow/latest/AzureOpenAIConnection.schema.json\nname: aoai\ntype: azure_open_ai\napi_key: <user-input>\napi_base: https://contoso.openai.azure.com\n",
    // `--diff` would show what it replaces.
    fix: None,
    check,
};

fn check(context: &Context<'_>) -> Vec<Finding> {
    let project = context.project;
    let files = (0..project.files.len()).map(FileId);
    let secrets = files.flat_map(|file| project.secrets(file).map(move |secret| (file, secret)));
    let findings = secrets.map(|(file, secret)| {
        let at = Place { file, span: secret.span };
        let finding = Finding::error(at, format!("`{}` holds a plain-text secret", secret.key.value));
        finding.help(match project.connection {
            Some(_) => "revoke it, and write `<user-input>`",
            None => "revoke it, and write `${env:NAME}`",
        })
    });
    findings.collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture;

    #[test]
    fn what_only_stands_for_one() {
        fixture::raises(
            &super::RULE,
            "#- custom.yml
type: custom
configs: {endpoint: https://contoso.example/0a1b2c3d4e5f60718293}
secrets:
  a: <user-input>
  b: ${env:CONTOSO_KEY_0123456789}
  c: '********************'
  d: <your-api-key-0123456789>
  e: sk-AbCd0123456789efgh
#    ^^^^^^^^^^^^^^^^^^^^^ error[connection-secret]: `e` holds a plain-text secret
",
        );
    }

    #[test]
    fn a_prompty() {
        fixture::raises(
            &super::RULE,
            "#- p.prompty
---
model:
  configuration:
    api_key: 0a1b2c3d4e5f60718293a4b5c6d7e8f9
#            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ error[connection-secret]: `api_key` holds a plain-text secret
---
system:
hi
",
        );
    }
}
