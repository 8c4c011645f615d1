//! Names for apps whose creator had none: an adjective of six letters and a noun of eight.

use deis_core::AppName;
use rand::seq::IndexedRandom as _;

const ADJECTIVES: [&str; 32] = [
    "bright", "candid", "cosmic", "divine", "fluent", "gentle", "golden", "honest", "hushed", "jovial",
    "lively", "mellow", "modest", "nimble", "polite", "prompt", "proven", "quaint", "rustic", "serene",
    "silver", "simple", "steady", "subtle", "sunlit", "tender", "upbeat", "frosty", "mighty", "placid",
    "sturdy", "velvet",
];

const NOUNS: [&str; 32] = [
    "airplane", "backpack", "barnacle", "birdsong", "broccoli", "bullfrog", "cardinal", "crescent",
    "daffodil", "elephant", "envelope", "festival", "fireside", "hedgehog", "hillside", "kangaroo",
    "lakeside", "magnolia", "mandolin", "mushroom", "notebook", "pavilion", "pinecone", "raindrop",
    "sapphire", "seashell", "woodland", "sunshine", "starfish", "sandwich", "mountain", "lavender",
];

/// A name made up by chance.
pub(super) fn generate() -> AppName {
    let mut rng = rand::rng();
    let word = |words: &[&'static str], rng: &mut rand::rngs::ThreadRng| *words.choose(rng).unwrap_or(&"app");
    let name = format!("{}-{}", word(&ADJECTIVES, &mut rng), word(&NOUNS, &mut rng));
    AppName::new(name).expect("words of lower-case letters joined by a hyphen are a name")
}
