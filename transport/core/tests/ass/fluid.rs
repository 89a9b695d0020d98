//! The model beside the scheduler: a fluid that is divided by weight in infinitely small parts.

/// What one class asks of the fluid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) weight: f64,
    /// Most that it may or can take.
    pub(crate) most: f64,
}

/// Divides `capacity` by weight; what one cannot take goes to the others (max-min fairness).
pub(crate) fn divide(capacity: f64, demands: &[Demand]) -> Vec<f64> {
    let mut given = vec![0.0; demands.len()];
    let mut open: Vec<usize> = (0..demands.len()).collect();
    let mut left = capacity;
    loop {
        let weights: f64 = open.iter().map(|index| demands[*index].weight).sum();
        let level = left / weights;
        let full = |index: &usize| demands[*index].most <= level * demands[*index].weight;
        let (done, rest): (Vec<usize>, Vec<usize>) = open.iter().partition(|index| full(index));
        for index in &done {
            given[*index] = demands[*index].most;
            left -= demands[*index].most;
        }
        if done.is_empty() || rest.is_empty() {
            for index in &rest {
                given[*index] = level * demands[*index].weight;
            }
            return given;
        }
        open = rest;
    }
}

#[test]
fn what_one_cannot_take_goes_to_the_others_by_weight() {
    let demand = |weight, most| Demand { weight, most };
    let given = divide(100.0, &[demand(1.0, 1e9), demand(3.0, 1e9)]);
    assert_eq!(given, [25.0, 75.0]);
    let given = divide(100.0, &[demand(2.0, 1e9), demand(1.0, 1e9), demand(5.0, 10.0)]);
    assert_eq!(given, [60.0, 30.0, 10.0]);
    assert_eq!(divide(100.0, &[demand(1.0, 10.0), demand(1.0, 20.0)]), [10.0, 20.0]);
}
