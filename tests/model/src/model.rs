//! The setting as a model of `stateright`.

use stateright::{Expectation, Model, Property};

use crate::{
    happened::{Breach, Happened, Holds},
    moves::Move,
    setting::Setting,
    world::World,
};

impl Model for Setting {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        self.moves(world, moves);
    }

    fn next_state(&self, world: &World, step: Move) -> Option<World> {
        self.after(world, step)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let guarantees = Breach::ALL.iter().map(|breach| Property {
            expectation: Expectation::Always,
            name: breach.text(),
            condition: breach.question(),
        });
        let events = self.reaches.iter().map(|event| Property {
            expectation: Expectation::Sometimes,
            name: event.text(),
            condition: event.question(),
        });
        guarantees.chain(events).collect()
    }
}

impl Holds<Happened> for World {
    fn holds(&self, what: Happened) -> bool {
        self.seen.has(what)
    }
}

impl Holds<Breach> for World {
    fn holds(&self, what: Breach) -> bool {
        self.broken != Some(what)
    }
}
