//! Which node waits for which.

use std::collections::HashMap;

use crate::model::{Flow, Node};
use crate::reference::{self, Reference};
use crate::span::{Span, Spanned};

/// One dependency of a node on another, and the reference that makes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Index in [`Flow::nodes`] of the node that waits.
    pub from: usize,
    /// Index of the node that it waits for.
    pub to: usize,
    /// The place of the reference.
    pub span: Span,
}

/// Every reference in a node's inputs and activation.
pub fn references(node: &Node, text: &str) -> Vec<(Span, Reference)> {
    let condition = node.activate.iter().flat_map(|activate| activate.when.iter());
    node.inputs
        .iter()
        .map(|(_, value)| value)
        .chain(condition)
        .filter_map(|value| Some((value.span, reference::parse(value, text)?)))
        .collect()
}

/// The nodes as the engine loads them, in the order of the text: a node that uses variants is what
/// its default variant says.
pub fn effective(flow: &Flow) -> Vec<&Node> {
    let defaults: HashMap<&str, &Node> =
        flow.variants.iter().filter(|v| v.default).map(|v| (v.node_name.value.as_str(), &v.node)).collect();
    let variant = |node: &Node| defaults.get(node.name()).copied().filter(|_| node.use_variants);
    flow.nodes.iter().map(|node| variant(node).unwrap_or(node)).collect()
}

/// All edges between nodes that exist, in the graph that the engine loads.
pub fn edges(flow: &Flow, text: &str) -> Vec<Edge> {
    let mut by_name = HashMap::new();
    for (index, name) in flow.nodes.iter().enumerate().filter_map(|(index, node)| Some((index, node.name.as_ref()?))) {
        by_name.entry(name.value.as_str()).or_insert(index);
    }
    let mut edges = Vec::new();
    for (from, node) in effective(flow).into_iter().enumerate() {
        for (_, reference) in references(node, text) {
            if let Reference::Node { name: Spanned { value, span }, .. } = reference
                && let Some(&to) = by_name.get(value.as_str())
            {
                edges.push(Edge { from, to, span });
            }
        }
    }
    edges
}

/// The cycles of the graph, one for each group of nodes that wait for each other, as the edges of
/// one round trip, in the order of the text.
pub fn cycles(nodes: usize, edges: &[Edge]) -> Vec<Vec<Edge>> {
    let mut out: Vec<Vec<usize>> = vec![Vec::new(); nodes];
    for (index, edge) in edges.iter().enumerate() {
        if let Some(list) = out.get_mut(edge.from) {
            list.push(index);
        }
    }
    let component = components(nodes, edges, &out);
    let mut seen = vec![false; nodes];
    let mut cycles = Vec::new();
    for start in 0..nodes {
        if seen[component[start]] {
            continue;
        }
        if let Some(cycle) = shortest_cycle(start, edges, &out, &component) {
            seen[component[start]] = true;
            cycles.push(cycle);
        }
    }
    cycles
}

/// Strongly connected components (Tarjan), without recursion: a flow may be a chain of 100,000.
fn components(nodes: usize, edges: &[Edge], out: &[Vec<usize>]) -> Vec<usize> {
    const UNSEEN: usize = usize::MAX;
    let mut order = vec![UNSEEN; nodes];
    let mut low = vec![0; nodes];
    let mut component = vec![UNSEEN; nodes];
    let (mut stack, mut work, mut count, mut next) = (Vec::new(), Vec::new(), 0, 0);
    for root in 0..nodes {
        if order[root] != UNSEEN {
            continue;
        }
        work.push((root, 0));
        while let Some((node, at)) = work.pop() {
            if at == 0 {
                order[node] = next;
                low[node] = next;
                next += 1;
                stack.push(node);
            }
            if let Some(&edge) = out[node].get(at) {
                work.push((node, at + 1));
                let to = edges[edge].to;
                if order[to] == UNSEEN {
                    work.push((to, 0));
                } else if component[to] == UNSEEN {
                    low[node] = low[node].min(order[to]);
                }
                continue;
            }
            for &edge in &out[node] {
                let to = edges[edge].to;
                if component[to] == UNSEEN {
                    low[node] = low[node].min(low[to]);
                }
            }
            if low[node] == order[node] {
                while let Some(member) = stack.pop() {
                    component[member] = count;
                    if member == node {
                        break;
                    }
                }
                count += 1;
            }
        }
    }
    component
}

/// Breadth first within one component, from `start` back to `start`.
fn shortest_cycle(start: usize, edges: &[Edge], out: &[Vec<usize>], component: &[usize]) -> Option<Vec<Edge>> {
    let mut came_by: HashMap<usize, usize> = HashMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &index in &out[node] {
            let to = edges[index].to;
            if component[to] != component[start] {
                continue;
            }
            if to == start {
                let mut path = vec![edges[index].clone()];
                let mut at = node;
                while at != start {
                    let index = *came_by.get(&at)?;
                    path.push(edges[index].clone());
                    at = edges[index].from;
                }
                path.reverse();
                return Some(path);
            }
            if let std::collections::hash_map::Entry::Vacant(slot) = came_by.entry(to) {
                slot.insert(index);
                queue.push_back(to);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: usize, to: usize) -> Edge {
        Edge { from, to, span: Span::empty(0) }
    }

    #[test]
    fn one_cycle_for_each_group() {
        let edges = [edge(0, 1), edge(1, 0), edge(2, 2), edge(3, 4), edge(1, 3)];
        let found = cycles(5, &edges);
        assert_eq!(found, [vec![edge(0, 1), edge(1, 0)], vec![edge(2, 2)]]);
        assert!(cycles(3, &[edge(0, 1), edge(1, 2), edge(0, 2)]).is_empty());
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let edges: Vec<_> = (0..100_000).map(|n| edge(n, n + 1)).collect();
        assert!(cycles(100_001, &edges).is_empty());
    }
}
