//! Parts that run in parallel.

use super::{
    Part,
    steps::{PlanSteps, Position},
};
use crate::Given;

/// A tuple of 2 to 8 parts, for [`Plan::together`](crate::Plan::together).
pub trait Group<Phase> {
    /// What they answer, as a tuple.
    type Outputs;
    #[doc(hidden)]
    fn add(self, steps: &mut PlanSteps) -> Self::Outputs;
}

macro_rules! group {
    ($($name:ident)+) => {
        impl<Phase, $($name: Part<Phase>),+> Group<Phase> for ($($name,)+) {
            type Outputs = ($(Given<$name::Value>,)+);

            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn add(self, steps: &mut PlanSteps) -> Self::Outputs {
                let stage = steps.next_stage();
                let ($($name,)+) = self;
                ($($name.write(steps, Position { stage, condition: None }),)+)
            }
        }
    };
}

group!(A B);
group!(A B C);
group!(A B C D);
group!(A B C D E);
group!(A B C D E F);
group!(A B C D E F G);
group!(A B C D E F G H);
