//! Every recorded world gets its true answer, in the words that stand beside it.

use ingress_diagnosis::publish::text;

use crate::world;

#[test]
fn every_folder_gets_its_true_answer() {
    let mut wrong = Vec::new();
    for folder in world::folders() {
        let expected = world::expected(&folder);
        let diagnoses = world::diagnoses(&world::snapshot(&folder));
        for difference in world::differences(&expected, &diagnoses) {
            wrong.push(format!("{}: {difference}\n  the story: {}", world::name(&folder), expected.story));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What a user reads, word for word: `expected.txt` of each folder, refreshed with `UPDATE_EXPECT=1`.
#[test]
fn every_folder_is_told_in_the_same_words() {
    let refresh = std::env::var_os("UPDATE_EXPECT").is_some();
    let mut wrong = Vec::new();
    for folder in world::folders() {
        let path = folder.join("expected.txt");
        let told = world::plain(&text::render(&world::diagnoses(&world::snapshot(&folder)), true));
        if refresh {
            std::fs::write(&path, &told).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != told {
            wrong.push(format!("{}:\n{told}", world::name(&folder)));
        }
    }
    assert!(wrong.is_empty(), "other words than in expected.txt, UPDATE_EXPECT=1 takes them over:\n{}", wrong.join("\n"));
}
