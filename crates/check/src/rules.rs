//! The list of rules. Order: the order of the documentation within each group.

use crate::rule::Rule;

mod activate_never_met;
mod additional_include_collision;
mod additional_include_nested_zip;
mod additional_include_not_found;
mod aggregation_output_reference;
mod chat_prompt_missing_role;
mod circular_dependency;
mod conflicting_base_pin;
mod connection_secret;
mod connection_type_mismatch;
mod default_type_mismatch;
mod dependency_confusion;
mod deprecated_import;
mod deprecated_tool_id;
mod dropped_by_pip;
mod duplicate_node_name;
mod duplicate_tool_input;
mod duplicate_yaml_key;
mod empty_flow;
mod empty_output_reference;
mod implicit_requirements;
mod import_newer_than_pin;
mod incomplete_activate;
mod incomplete_chat_flow;
mod incomplete_hashes;
mod inconsistent_variants;
mod invalid_aggregation_reference;
mod invalid_assistant_definition;
mod invalid_connection;
mod invalid_entry;
mod invalid_flex_flow;
mod invalid_message_format;
mod invalid_node_type;
mod invalid_prompty;
mod invalid_reference_section;
mod invalid_run_specification;
mod invalid_source;
mod invalid_type_name;
mod jinja_syntax;
mod known_bad_base_image;
mod literal_type_mismatch;
mod llm_missing_connection;
mod local_requirement;
mod look_alike_character;
mod malformed_base_image;
mod malformed_column_mapping;
mod malformed_private_feed;
mod malformed_reference;
mod misplaced_tab;
mod missing_promptflow_tools;
mod missing_required_tool_input;
mod missing_source_file;
mod missing_type;
mod nested_reference;
mod newer_python_needed;
mod no_tool_in_source;
mod node_order_drops_message_format;
mod non_literal_init_input;
mod outside_repository;
mod pinned_promptflow;
mod private_feed_credential;
mod prompt_variable_not_supplied;
mod python_syntax;
mod requirements_outside_flow;
mod requirements_path_not_found;
mod requirements_syntax;
mod reserved_prompt_variable;
mod retired_product;
mod run_path_not_found;
mod several_flow_files;
mod several_tools_in_source;
mod undeclared_import;
mod unknown_environment_key;
mod unknown_flow_input;
mod unknown_key;
mod unknown_llm_api;
mod unknown_llm_module;
mod unknown_node_reference;
mod unknown_package_tool;
mod unknown_run_input;
mod unknown_run_node;
mod unknown_tool_input;
mod unpinned_base_image;
mod unreadable_file;
mod unreferencable_node_name;
mod unresolved_environment_variable;
mod unsupported_requirement;
mod untrusted_index;
mod unused_flow_input;
pub(crate) mod unused_ignore;
mod unused_node;
mod unused_prompt_input;
mod wrong_shape;
mod yaml_syntax;

/// Every rule.
pub const ALL: &[Rule] = &[
    unreadable_file::RULE,
    yaml_syntax::RULE,
    misplaced_tab::RULE,
    duplicate_yaml_key::RULE,
    empty_flow::RULE,
    wrong_shape::RULE,
    unknown_key::RULE,
    unused_ignore::RULE,
    several_flow_files::RULE,
    outside_repository::RULE,
    additional_include_not_found::RULE,
    additional_include_collision::RULE,
    additional_include_nested_zip::RULE,
    look_alike_character::RULE,
    unknown_environment_key::RULE,
    malformed_base_image::RULE,
    unpinned_base_image::RULE,
    known_bad_base_image::RULE,
    implicit_requirements::RULE,
    requirements_outside_flow::RULE,
    missing_promptflow_tools::RULE,
    conflicting_base_pin::RULE,
    pinned_promptflow::RULE,
    undeclared_import::RULE,
    newer_python_needed::RULE,
    import_newer_than_pin::RULE,
    deprecated_import::RULE,
    requirements_path_not_found::RULE,
    requirements_syntax::RULE,
    incomplete_hashes::RULE,
    dropped_by_pip::RULE,
    local_requirement::RULE,
    unsupported_requirement::RULE,
    malformed_private_feed::RULE,
    unresolved_environment_variable::RULE,
    private_feed_credential::RULE,
    dependency_confusion::RULE,
    untrusted_index::RULE,
    missing_type::RULE,
    invalid_type_name::RULE,
    default_type_mismatch::RULE,
    incomplete_chat_flow::RULE,
    invalid_message_format::RULE,
    duplicate_node_name::RULE,
    invalid_node_type::RULE,
    invalid_source::RULE,
    missing_source_file::RULE,
    invalid_entry::RULE,
    python_syntax::RULE,
    no_tool_in_source::RULE,
    several_tools_in_source::RULE,
    duplicate_tool_input::RULE,
    missing_required_tool_input::RULE,
    unknown_tool_input::RULE,
    literal_type_mismatch::RULE,
    connection_type_mismatch::RULE,
    non_literal_init_input::RULE,
    invalid_assistant_definition::RULE,
    inconsistent_variants::RULE,
    empty_output_reference::RULE,
    malformed_reference::RULE,
    unknown_node_reference::RULE,
    unknown_flow_input::RULE,
    invalid_reference_section::RULE,
    nested_reference::RULE,
    circular_dependency::RULE,
    invalid_aggregation_reference::RULE,
    aggregation_output_reference::RULE,
    incomplete_activate::RULE,
    jinja_syntax::RULE,
    prompt_variable_not_supplied::RULE,
    unused_prompt_input::RULE,
    reserved_prompt_variable::RULE,
    chat_prompt_missing_role::RULE,
    llm_missing_connection::RULE,
    unknown_llm_api::RULE,
    unknown_llm_module::RULE,
    unknown_package_tool::RULE,
    deprecated_tool_id::RULE,
    activate_never_met::RULE,
    unreferencable_node_name::RULE,
    node_order_drops_message_format::RULE,
    unused_flow_input::RULE,
    unused_node::RULE,
    invalid_flex_flow::RULE,
    invalid_prompty::RULE,
    invalid_connection::RULE,
    connection_secret::RULE,
    invalid_run_specification::RULE,
    run_path_not_found::RULE,
    malformed_column_mapping::RULE,
    unknown_run_input::RULE,
    unknown_run_node::RULE,
    retired_product::RULE,
];

/// The rule of that name.
pub fn find(name: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.name == name)
}

/// The rule of that name, or the one that covers the case of that name.
pub fn covering(name: &str) -> Option<&'static Rule> {
    find(name).or_else(|| ALL.iter().find(|rule| rule.cases.contains(&name)))
}

#[cfg(test)]
mod tests;
