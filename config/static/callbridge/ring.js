// The sound of a telephone. Of several windows (and of what rings in one) one sounds.
const LOCK = "callbridge-ring";
let tones = null;

/** Browsers allow sound once somebody has clicked: call it then. */
export const wake = () => {
    tones ??= new AudioContext();
    tones.resume();
};

const sound = (frequency, seconds) => {
    const tone = tones.createOscillator(), volume = tones.createGain();
    tone.frequency.value = frequency;
    volume.gain.value = 0.08;
    tone.connect(volume).connect(tones.destination);
    tone.start();
    tone.stop(tones.currentTime + seconds);
};

export const ring = () => {
    if (tones?.state !== "running") return;
    if (!navigator.locks) sound(440, 0.4);
    else navigator.locks.request(LOCK, { ifAvailable: true }, async (lock) => { if (lock) { sound(440, 0.4); await new Promise((done) => { setTimeout(done, 900); }); } });
};

/** What one hears while the other telephone rings. */
export const ringThere = () => { if (tones?.state === "running") sound(425, 0.9); };
