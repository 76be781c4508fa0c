//! Parts that run in parallel.

use super::{Given, Part, Place, Plan};

/// A tuple of 2 to 8 parts, for [`Plan::together`].
pub trait Group<Phase> {
    /// What they answer, as a tuple.
    type Outputs;
    #[doc(hidden)]
    fn add(self, plan: &mut Plan<Phase>) -> Self::Outputs;
}

macro_rules! group {
    ($($name:ident)+) => {
        impl<Phase, $($name: Part<Phase>),+> Group<Phase> for ($($name,)+) {
            type Outputs = ($(Given<$name::Value>,)+);

            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn add(self, plan: &mut Plan<Phase>) -> Self::Outputs {
                let stage = plan.draft.next_stage();
                let ($($name,)+) = self;
                ($($name.write(plan, Place { stage, condition: None }),)+)
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
