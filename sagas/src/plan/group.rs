//! Steps that run in parallel.

use super::{Given, Plan, StandsIn};
use crate::step::{Call, Step};

/// A tuple of 2 to 8 calls, for [`Plan::together`].
pub trait Group<Phase> {
    /// Their outputs, as a tuple.
    type Outputs;
    #[doc(hidden)]
    fn add(self, plan: &mut Plan<Phase>) -> Self::Outputs;
}

macro_rules! group {
    ($($name:ident)+) => {
        impl<Phase, $($name: StandsIn<Phase>),+> Group<Phase> for ($(Call<$name>,)+) {
            type Outputs = ($(Given<<$name as Step>::Output>,)+);

            #[allow(non_snake_case, reason = "one name serves type and value")]
            fn add(self, plan: &mut Plan<Phase>) -> Self::Outputs {
                let stage = plan.draft.next_stage();
                let ($($name,)+) = self;
                ($(plan.draft.add($name, stage, <$name as StandsIn<Phase>>::KIND),)+)
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
