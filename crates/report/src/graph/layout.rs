//! Where the boxes of a layered drawing stand, and which way its arrows go.
//!
//! The usual four steps: break cycles, put each box on a layer below what it waits for, order each
//! layer so that few arrows cross, and place what is ordered near what it is connected to. The
//! layout crates at hand give no way round the boxes between two ends, or panic on odd graphs.

/// A box to place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) width: f64,
    pub(super) height: f64,
}

/// A drawing.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    /// The middle of each box.
    pub(super) centers: Vec<(f64, f64)>,
    /// For each edge, the points that it passes: from the lower or upper side of one box to that of
    /// the other.
    pub(super) routes: Vec<Vec<(f64, f64)>>,
    pub(super) width: f64,
    pub(super) height: f64,
}

const BETWEEN_BOXES: f64 = 28.0;
const BETWEEN_ROUTES: f64 = 14.0;
const BETWEEN_LAYERS: f64 = 44.0;
const MARGIN: f64 = 16.0;
const SWEEPS: usize = 12;
/// Points on long edges. A graph with more gets straight lines instead: nobody can follow them.
const MAX_POINTS: usize = 5_000;

/// Places boxes and routes edges, given as pairs of indices of boxes.
pub(super) fn layered(boxes: &[Size], edges: &[(usize, usize)]) -> Layout {
    let directed = acyclic(boxes.len(), edges);
    let layer_of = layers(boxes.len(), &directed);
    let mut grid = Grid::new(boxes, &layer_of, &directed);
    grid.order();
    grid.place();
    grid.layout(boxes, edges, &directed)
}

/// The edges without loops, each turned so that no cycle is left.
fn acyclic(count: usize, edges: &[(usize, usize)]) -> Vec<Option<(usize, usize)>> {
    let mut out = vec![Vec::new(); count];
    for (index, (from, to)) in edges.iter().enumerate() {
        if from != to {
            out[*from].push((index, *to));
        }
    }
    // 0: not seen, 1: on the way, 2: done.
    let mut state = vec![0; count];
    let mut turned = vec![false; edges.len()];
    for root in 0..count {
        if state[root] != 0 {
            continue;
        }
        state[root] = 1;
        let mut way = vec![(root, 0)];
        while let Some((at, next)) = way.last_mut() {
            let Some((index, to)) = out[*at].get(*next).copied() else {
                state[*at] = 2;
                way.pop();
                continue;
            };
            *next += 1;
            match state[to] {
                0 => {
                    state[to] = 1;
                    way.push((to, 0));
                }
                1 => turned[index] = true,
                _ => {}
            }
        }
    }
    let turn = |(index, (from, to)): (usize, &(usize, usize))| match (from == to, turned[index]) {
        (true, _) => None,
        (false, true) => Some((*to, *from)),
        (false, false) => Some((*from, *to)),
    };
    edges.iter().enumerate().map(turn).collect()
}

/// The length of the longest way to each box.
fn layers(count: usize, edges: &[Option<(usize, usize)>]) -> Vec<usize> {
    let mut out = vec![Vec::new(); count];
    let mut waiting = vec![0; count];
    for (from, to) in edges.iter().flatten() {
        out[*from].push(*to);
        waiting[*to] += 1;
    }
    let mut layer = vec![0; count];
    let mut ready: Vec<usize> = (0..count).filter(|index| waiting[*index] == 0).collect();
    while let Some(at) = ready.pop() {
        for &to in &out[at] {
            layer[to] = layer[to].max(layer[at] + 1);
            waiting[to] -= 1;
            if waiting[to] == 0 {
                ready.push(to);
            }
        }
    }
    layer
}

/// Boxes, and the points where long edges cross a layer, on their layers.
struct Grid {
    /// Half the width of each place.
    half: Vec<f64>,
    height: Vec<f64>,
    layers: Vec<Vec<usize>>,
    up: Vec<Vec<usize>>,
    down: Vec<Vec<usize>>,
    x: Vec<f64>,
    /// For each edge, the places that it passes, ends included.
    chains: Vec<Vec<usize>>,
}

impl Grid {
    fn new(boxes: &[Size], layer_of: &[usize], edges: &[Option<(usize, usize)>]) -> Self {
        let depth = layer_of.iter().max().map_or(0, |last| last + 1);
        let mut grid = Self {
            half: boxes.iter().map(|size| size.width / 2.0).collect(),
            height: boxes.iter().map(|size| size.height).collect(),
            layers: vec![Vec::new(); depth],
            up: vec![Vec::new(); boxes.len()],
            down: vec![Vec::new(); boxes.len()],
            x: vec![0.0; boxes.len()],
            chains: Vec::new(),
        };
        for (index, layer) in layer_of.iter().enumerate() {
            grid.layers[*layer].push(index);
        }
        let points: usize = edges.iter().flatten().map(|(from, to)| layer_of[*to] - layer_of[*from] - 1).sum();
        for edge in edges {
            let Some((from, to)) = *edge else {
                grid.chains.push(Vec::new());
                continue;
            };
            let mut chain = vec![from];
            if points <= MAX_POINTS {
                for layer in layer_of[from] + 1..layer_of[to] {
                    let point = grid.half.len();
                    grid.half.push(0.0);
                    grid.height.push(0.0);
                    grid.x.push(0.0);
                    grid.up.push(Vec::new());
                    grid.down.push(Vec::new());
                    grid.layers[layer].push(point);
                    chain.push(point);
                }
            }
            chain.push(to);
            for pair in chain.windows(2) {
                grid.down[pair[0]].push(pair[1]);
                grid.up[pair[1]].push(pair[0]);
            }
            grid.chains.push(chain);
        }
        grid
    }

    /// Orders each layer by the mean position of its neighbours, downwards and upwards in turn, and
    /// keeps the order with the fewest crossings.
    fn order(&mut self) {
        let mut rank = vec![0.0; self.half.len()];
        let number = |layers: &[Vec<usize>], rank: &mut [f64]| {
            for layer in layers {
                for (position, place) in layer.iter().enumerate() {
                    rank[*place] = position as f64;
                }
            }
        };
        number(&self.layers, &mut rank);
        let mut best = (self.crossings(&rank), self.layers.clone());
        for sweep in 0..SWEEPS {
            let downwards = sweep % 2 == 0;
            let neighbours = if downwards { &self.up } else { &self.down };
            let mut order: Vec<usize> = (0..self.layers.len()).collect();
            if !downwards {
                order.reverse();
            }
            for layer in order {
                let mean = |place: &usize| mean(&neighbours[*place], &rank).unwrap_or(rank[*place]);
                let mut keyed: Vec<(f64, usize)> =
                    self.layers[layer].iter().map(|place| (mean(place), *place)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[layer] = keyed.into_iter().map(|(_, place)| place).collect();
                for (position, place) in self.layers[layer].iter().enumerate() {
                    rank[*place] = position as f64;
                }
            }
            let crossings = self.crossings(&rank);
            if crossings < best.0 {
                best = (crossings, self.layers.clone());
            }
        }
        self.layers = best.1;
    }

    /// How many pairs of edges cross: inversions between neighbouring layers, counted with a
    /// Fenwick tree.
    fn crossings(&self, rank: &[f64]) -> usize {
        let mut total = 0;
        for pair in self.layers.windows(2) {
            let mut tree = vec![0_usize; pair[1].len() + 1];
            let mut seen = 0;
            for place in &pair[0] {
                let mut ends: Vec<usize> = self.down[*place].iter().map(|to| rank[*to] as usize).collect();
                ends.sort_unstable();
                for &end in &ends {
                    let (mut at, mut before) = ((end + 1).min(pair[1].len()), 0);
                    while at > 0 {
                        before += tree[at];
                        at &= at - 1;
                    }
                    total += seen - before;
                }
                for &end in &ends {
                    let mut at = end + 1;
                    while at < tree.len() {
                        tree[at] += 1;
                        at += at & at.wrapping_neg();
                    }
                    seen += 1;
                }
            }
        }
        total
    }

    /// Moves each layer's places near their neighbours without changing their order.
    fn place(&mut self) {
        for layer in &self.layers {
            let mut at = 0.0;
            for pair in 0..layer.len() {
                at += if pair == 0 { 0.0 } else { self.gap(layer[pair - 1], layer[pair]) };
                self.x[layer[pair]] = at;
            }
        }
        for sweep in 0..SWEEPS {
            let mut order: Vec<usize> = (0..self.layers.len()).collect();
            if sweep % 2 == 1 {
                order.reverse();
            }
            for layer in order {
                let wanted: Vec<f64> = self.layers[layer]
                    .iter()
                    .map(|place| {
                        let both: Vec<usize> = self.up[*place].iter().chain(&self.down[*place]).copied().collect();
                        mean(&both, &self.x).unwrap_or(self.x[*place])
                    })
                    .collect();
                self.settle(layer, &wanted);
            }
        }
        let left = |place: usize| self.x[place] - self.half[place];
        let least = (0..self.x.len()).map(left).fold(f64::INFINITY, f64::min);
        if least.is_finite() {
            self.x.iter_mut().for_each(|x| *x += MARGIN - least);
        }
    }

    fn gap(&self, left: usize, right: usize) -> f64 {
        let space = if self.half[left] == 0.0 || self.half[right] == 0.0 { BETWEEN_ROUTES } else { BETWEEN_BOXES };
        self.half[left] + space + self.half[right]
    }

    /// The nearest positions to the wanted ones that keep order and distance: an isotonic
    /// regression, by pooling neighbours that are in each other's way.
    fn settle(&mut self, layer: usize, wanted: &[f64]) {
        let places = &self.layers[layer];
        let mut offsets = Vec::with_capacity(places.len());
        let mut offset = 0.0;
        for (index, place) in places.iter().enumerate() {
            offset += if index == 0 { 0.0 } else { self.gap(places[index - 1], *place) };
            offsets.push(offset);
        }
        // (sum, count) of each pool.
        let mut pools: Vec<(f64, usize)> = Vec::new();
        for (want, offset) in wanted.iter().zip(&offsets) {
            pools.push((want - offset, 1));
            while let [.., before, last] = pools[..]
                && before.0 / before.1 as f64 > last.0 / last.1 as f64
            {
                pools.truncate(pools.len() - 2);
                pools.push((before.0 + last.0, before.1 + last.1));
            }
        }
        let level = pools.iter().flat_map(|(sum, count)| std::iter::repeat_n(sum / *count as f64, *count));
        for ((place, offset), level) in places.iter().zip(&offsets).zip(level) {
            self.x[*place] = level + offset;
        }
    }

    fn layout(&self, boxes: &[Size], edges: &[(usize, usize)], directed: &[Option<(usize, usize)>]) -> Layout {
        let mut y = vec![0.0; self.x.len()];
        let mut heights = vec![0.0; self.x.len()];
        let mut top = MARGIN;
        for layer in &self.layers {
            let height = layer.iter().map(|place| self.height[*place]).fold(0.0, f64::max);
            for place in layer {
                y[*place] = top + height / 2.0;
                heights[*place] = height;
            }
            top += height + BETWEEN_LAYERS;
        }
        let right = (0..self.x.len()).map(|place| self.x[place] + self.half[place]).fold(0.0, f64::max);
        let route = |index: usize| -> Vec<(f64, f64)> {
            let chain = &self.chains[index];
            let (Some(&first), Some(&last)) = (chain.first(), chain.last()) else {
                // A loop: out at the right side, and back in.
                let at = edges[index].0;
                let (x, half) = (self.x[at] + self.half[at], self.height[at] / 4.0);
                return vec![(x, y[at] - half), (x, y[at] + half)];
            };
            let mut points = vec![(self.x[first], y[first] + self.height[first] / 2.0)];
            for place in &chain[1..chain.len() - 1] {
                points.push((self.x[*place], y[*place] - heights[*place] / 2.0));
                points.push((self.x[*place], y[*place] + heights[*place] / 2.0));
            }
            points.push((self.x[last], y[last] - self.height[last] / 2.0));
            if directed[index] != Some(edges[index]) {
                points.reverse();
            }
            points
        };
        Layout {
            centers: (0..boxes.len()).map(|index| (self.x[index], y[index])).collect(),
            routes: (0..edges.len()).map(route).collect(),
            width: right + MARGIN + BETWEEN_BOXES,
            height: top - BETWEEN_LAYERS + MARGIN,
        }
    }
}

fn mean(places: &[usize], of: &[f64]) -> Option<f64> {
    let sum: f64 = places.iter().map(|place| of[*place]).sum();
    (!places.is_empty()).then(|| sum / places.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOX: Size = Size { width: 100.0, height: 40.0 };

    #[test]
    fn boxes_of_a_layer_stand_apart_and_below_what_they_wait_for() {
        let edges = [(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (0, 4)];
        let layout = layered(&[BOX; 5], &edges);
        for (from, to) in edges {
            assert!(layout.centers[from].1 + BOX.height < layout.centers[to].1);
        }
        let mut middle: Vec<f64> = [1, 2, 3].iter().map(|index| layout.centers[*index].0).collect();
        middle.sort_by(f64::total_cmp);
        assert!(middle.windows(2).all(|pair| pair[1] - pair[0] >= BOX.width + BETWEEN_BOXES - 1e-6), "{middle:?}");
        // The long edge passes the middle layer beside its boxes.
        let (x, _) = layout.routes[6][1];
        assert!(middle.iter().all(|center| (center - x).abs() >= BOX.width / 2.0), "{x} {middle:?}");
    }

    #[test]
    fn cycles_loops_and_nothing() {
        let layout = layered(&[BOX; 3], &[(0, 1), (1, 2), (2, 0), (1, 1)]);
        assert_eq!(layout.routes.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 4, 2]);
        assert_eq!(layered(&[], &[]).centers, []);
    }

    #[test]
    fn a_thousand_boxes_with_edges_to_all() {
        let edges: Vec<(usize, usize)> = (1..1000).flat_map(|n| [(0, n), (n - 1, n)]).collect();
        let layout = layered(&vec![BOX; 1000], &edges);
        assert!(layout.width.is_finite() && layout.height.is_finite());
    }
}
