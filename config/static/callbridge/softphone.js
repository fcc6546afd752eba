// The phone in the call card: shows what it does, and takes what somebody presses.
import { Phone } from "./phone.js";
import { ring, ringThere, wake } from "./ring.js";

const panel = document.getElementById("phone");
const one = (selector) => panel.querySelector(selector);
const all = (selector) => [...panel.querySelectorAll(selector)];
const { key, account, asked } = panel.dataset;
const post = async (address, fields = {}) => {
    const token = one("[name=csrfmiddlewaretoken]").value;
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams({ ...fields, csrfmiddlewaretoken: token }), credentials: "same-origin" });
    if (!answer.ok || answer.redirected) throw new Error(`HTTP ${answer.status}`);
    return answer.json();
};
const phone = new Phone({ key, sound: document.getElementById("phone-sound"), account: () => post(account) });

// --- Whether it is switched on, and its microphone, are the browser's own affair ---
const ON = "callbridge-phone-on", MICROPHONE = "callbridge-microphone";
const remember = (on) => {
    localStorage.setItem(ON, on ? key : "");
    document.cookie = `callbridge_phone=${on ? "on" : ""}; path=/; samesite=lax; max-age=${on ? 31536000 : 0}${location.protocol === "https:" ? "; secure" : ""}`;
};
const microphone = document.getElementById("microphone");
const listMicrophones = async () => {
    const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "audioinput" && device.deviceId);
    microphone.replaceChildren(...found.map((device) => new Option(device.label || device.deviceId.slice(0, 8), device.deviceId)));
    const chosen = found.find((device) => device.deviceId === localStorage.getItem(MICROPHONE));
    if (chosen) microphone.value = chosen.deviceId;
    phone.microphone = chosen?.deviceId ?? "";
    one("[data-microphones]").hidden = found.length < 2;
};
microphone.addEventListener("change", () => {
    localStorage.setItem(MICROPHONE, microphone.value);
    phone.microphone = microphone.value;
});
navigator.mediaDevices?.addEventListener("devicechange", listMicrophones);

// --- What is pressed ---
const deeds = {
    on: () => { remember(true); phone.microphone = localStorage.getItem(MICROPHONE) ?? ""; return phone.on(); },
    off: () => { remember(false); return phone.off(); },
    answer: () => phone.answer(),
    decline: () => phone.hangUp(),
    hangup: () => phone.hangUp(),
    mute: () => phone.mute(!phone.call.muted),
    hold: () => phone.hold(!phone.call.held),
};
panel.addEventListener("click", (event) => {
    wake();
    const { do: deed, key: pressed } = event.target.closest("button")?.dataset ?? {};
    if (deed) deeds[deed]();
    if (pressed) phone.press(pressed);
});
document.addEventListener("click", wake, { once: true });

// A typed number is dialled from here; what names a row is asked of the PBX, which then rings here.
document.addEventListener("submit", (event) => {
    const form = event.target;
    if (phone.state !== "ready" || event.defaultPrevented || !form.action.endsWith("/dial/")) return;
    if (form.elements.phone) {
        event.preventDefault();
        phone.dial(form.elements.phone.value);
    } else if (form.closest("#cards")) form.dataset.inside = "";
}, { capture: true });

// --- What is shown ---
const shown = (selector, name, value) => {
    for (const element of all(selector)) element.hidden = !element.dataset[name].split(" ").includes(value);
};
phone.addEventListener("state", () => {
    panel.dataset.state = phone.state;
    shown("[data-when]", "when", phone.state);
    shown("[data-trouble]", "trouble", phone.trouble);
    // Of troubles the lasting ones wait for somebody, who presses once more.
    const stopped = phone.state === "off" || ["insecure", "denied", "microphone", "password", "unknown", "account"].includes(phone.trouble);
    one("[data-do=on]").hidden = !stopped;
    one("[data-do=off]").hidden = phone.state === "off";
    if (phone.state === "ready") listMicrophones();
});

const digits = (text) => text.replace(/\D/g, "");
/** The card of the call: that of its number, or the only one that rings where numbers are hidden. */
const cardOf = ({ number }) => {
    const cards = [...document.querySelectorAll("#cards [data-card]:not([data-stage=over])")];
    const wanted = digits(number).slice(-10);
    const same = wanted.length === 10 && cards.filter((card) => digits(card.dataset.number).endsWith(wanted));
    const found = same.length ? same : cards.filter((card) => card.dataset.stage !== "elsewhere");
    return found.length === 1 ? found[0] : null;
};
const title = document.title;
const name = () => {
    const card = phone.call && cardOf(phone.call);
    const plain = "hidden" in panel.dataset ? "" : [phone.call?.name, phone.call?.number].filter(Boolean).join(" · ");
    one("[data-who]").textContent = card?.dataset.title ?? plain;
    one("[data-line]").textContent = card?.dataset.line ?? "";
};
new MutationObserver(() => { if (phone.call) name(); }).observe(document.getElementById("cards"), { childList: true });

let beat = 0;
phone.addEventListener("call", () => {
    const { call } = phone;
    one("[data-call]").hidden = !call;
    if (!call) {
        clearInterval(beat);
        beat = 0;
        delete panel.dataset.busy;
        document.title = title;
        panel.dispatchEvent(new Event("idle"));
        return;
    }
    if (!beat) {
        beat = setInterval(tick, 1000);
        one("[data-ended]").hidden = true;
        if (call.incoming) answerIfAsked(call);
    }
    panel.dataset.busy = "";
    shown("[data-call-when]", "callWhen", call.state);
    for (const [deed, on, badge] of [["mute", call.muted, "[data-muted]"], ["hold", call.held, "[data-held]"]]) {
        one(`[data-do=${deed}]`).setAttribute("aria-pressed", String(on));
        one(badge).hidden = !on;
    }
    if (call.state !== "talking") one("details").open = false;
    name();
    tick();
});
phone.addEventListener("ended", ({ detail: reason }) => {
    const words = one(`[data-reason="${reason}"]`)?.innerHTML;
    one("[data-ended]").textContent = words ?? "";
    one("[data-ended]").hidden = !words;
});
const tick = () => {
    const { call } = phone;
    if (!call) return;
    const seconds = Math.max(0, Math.floor((Date.now() - call.since) / 1000));
    one("[data-phone-clock]").textContent = call.state === "talking" ? `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}` : "";
    if (call.state === "ringing") {
        document.title = seconds % 2 ? title : `☎ ${one("[data-who]").textContent}`;
        if (seconds % 2 === 0) ring();
    } else document.title = title;
    if (call.state === "dialling" && seconds % 4 === 0) ringThere();
};
/** The PBX calls here because of a click of this very person: he need not answer what he has asked for. */
const answerIfAsked = async (call) => {
    try {
        if ((await post(asked, { number: call.number })).asked && phone.call === call) await phone.answer();
    } catch { /* then it rings until somebody answers */ }
};

window.addEventListener("beforeunload", (event) => { if (phone.call) event.preventDefault(); });
window.addEventListener("pagehide", () => { phone.off(); });
if (localStorage.getItem(ON) === key) deeds.on();
panel.dataset.ready = "";
