//! A browser that plays scenes, one after the other. It is started once: that takes longer than most scenes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sources::modules;

/// How long a browser may take for everything that one test asks of it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(480);

/// One scene at a time: each takes all cores, and waits for what it is shown.
static PLAYER: tokio::sync::Mutex<Option<Player>> = tokio::sync::Mutex::const_new(None);

/// Node with a browser. It ends when there is nobody any more who could say what is to be played.
struct Player {
    node: Child,
    stdin: ChildStdin,
    /// What it says, unless somebody waits for that.
    said: Option<BufReader<ChildStdout>>,
}

impl Drop for Player {
    fn drop(&mut self) {
        // One that has ended can't be ended.
        let _ = self.node.kill();
        let _ = self.node.wait();
    }
}

impl Player {
    fn start() -> Self {
        let shots = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/viewer_screenshots");
        std::fs::create_dir_all(&shots).unwrap();
        let mut node = Command::new("node");
        node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/web/test/main.mjs"))
            .env("NODE_PATH", modules())
            .env("SHOTS", &shots)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut node = node.spawn().expect("node runs: install it, or set THROUGHLINE_SERVICES=off");
        let (stdin, stdout) = (node.stdin.take().unwrap(), node.stdout.take().unwrap());
        Self { node, stdin, said: Some(BufReader::new(stdout)) }
    }

    fn tell(&mut self, line: &str) {
        self.stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// The next line that it says.
    async fn hear(&mut self) -> String {
        let mut said = self.said.take().unwrap();
        let reading = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            said.read_line(&mut line).unwrap();
            (line, said)
        });
        let (line, said) = reading.await.unwrap();
        self.said = Some(said);
        assert!(line.ends_with('\n'), "the browser has ended: {line}");
        line.trim_end().to_owned()
    }

    /// Plays a scene to its end, or says why it failed.
    async fn play(
        &mut self,
        scene: &str,
        given: &Value,
        mut at: impl AsyncFnMut(&str),
    ) -> Result<(), String> {
        self.tell(&json!({ "scene": scene, "given": given }).to_string());
        loop {
            let line = self.hear().await;
            if let Some(place) = line.strip_prefix("at: ") {
                at(place).await;
                self.tell("continue");
            } else if let Some(why) = line.strip_prefix("failed: ") {
                return Err(serde_json::from_str(why).unwrap());
            } else if line == "played" {
                return Ok(());
            } else {
                println!("{line}");
            }
        }
    }
}

/// Plays a scene of `web/test/` in a browser. Whenever it says that it is at a place, `at` is called before it continues.
pub(crate) async fn play(scene: &str, given: Value, at: impl AsyncFnMut(&str)) {
    let mut turn = PLAYER.lock().await;
    // Who panics while it is played takes the player along.
    let mut player = turn.take().unwrap_or_else(Player::start);
    let began = Instant::now();
    let played = tokio::time::timeout(PATIENCE, player.play(scene, &given, at)).await;
    let played = played.unwrap_or_else(|_| panic!("the scene `{scene}` has not ended"));
    *turn = Some(player);
    println!("the scene `{scene}` took {:.1} s", began.elapsed().as_secs_f64());
    if let Err(why) = played {
        panic!("{scene}: {why}");
    }
}

pub(crate) async fn nothing(_: &str) {}
