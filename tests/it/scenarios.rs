//! Every recorded world gets its true answer.

use crate::world;

#[test]
fn every_folder_gets_its_true_answer() {
    let mut wrong = Vec::new();
    for folder in world::folders() {
        let expected = world::expected(&folder);
        let diagnoses = world::diagnoses(&world::snapshot(&folder));
        for difference in world::differences(&expected, &diagnoses) {
            wrong.push(format!("{}: {difference}", world::name(&folder)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
