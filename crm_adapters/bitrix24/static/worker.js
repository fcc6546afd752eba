// The phone in the frame that Bitrix24 loads unseen into each of its pages: its card is the phone's face.
import { Phone } from "../callbridge/phone.js";

const read = (id) => JSON.parse(document.getElementById(id).textContent);
const says = read("says"), troubles = read("troubles");
const { key, over, switched } = document.body.dataset;
const post = async (address, fields) => {
    const answer = await fetch(address, { method: "POST", body: new URLSearchParams(fields), credentials: "omit" });
    if (answer.status === 403) return null;
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    return answer.json();
};
let ours = {};
// The token that came with the page lives for an hour; a tab may wait for longer until it gets the phone.
const fresh = () => new Promise((given) => { BX24.refreshAuth(({ access_token: auth }) => given({ auth })); });
const account = async () => {
    ours = await post("account/", says) ?? await post("account/", await fresh()) ?? {};
    return ours;
};
const phone = new Phone({ key, account, sound: document.getElementById("phone-sound") });

// --- The card: there is one at a time, and nothing can be said to it before it is there ---
let card = null;
const tell = (command, parameters) => { if (card) BX24.placement.call(command, parameters, () => {}); };
const tail = (text) => String(text ?? "").replace(/\D/g, "").slice(-10);
/** Whether the card is that of the call: by its number, which the card of a hidden one does not have. */
const fits = () => card && phone.call && (!card.PHONE_NUMBER || !phone.call.number || tail(card.PHONE_NUMBER) === tail(phone.call.number));
const STATES = { ringing: "incoming", dialling: "connectingOutgoing", talking: "connected" };
let told = "";
const show = (state) => {
    if (state === told) return;
    told = state;
    tell("CallCardSetUiState", { uiState: state });
};
const refresh = () => {
    if (!card) return;
    if (fits()) {
        show(STATES[phone.call.state]);
        tell("CallCardSetMute", { muted: phone.call.muted });
        tell("CallCardSetHold", { held: phone.call.held });
    } else if (phone.state !== "ready" && phone.state !== "elsewhere") {
        tell("CallCardSetStatusText", { statusText: troubles[phone.trouble] ?? switched });
    }
};
phone.addEventListener("call", () => {
    if (phone.call?.incoming && phone.call.state === "ringing") answerIfAsked(phone.call);
    refresh();
});
phone.addEventListener("ended", () => {
    told = "";
    tell("CallCardStopTimer", {});
    tell("CallCardSetStatusText", { statusText: over });
});
phone.addEventListener("state", refresh);

/** The PBX calls here because of a click of this very person: he need not answer what he has asked for. */
const answerIfAsked = async (call) => {
    try {
        const { asked } = await post("asked/", { ticket: ours.ticket, number: call.number });
        if (asked && phone.call === call) await phone.answer();
    } catch { /* then it rings until somebody answers */ }
};

/** Bitrix24 names the user whom the client is to be handed on to; we know his extension. */
const transfer = async ({ target }) => {
    const extension = ours.colleagues?.[target];
    show("transferring");
    show(extension && await phone.transfer(extension) ? "transferConnected" : "transferFailed");
};

const pressed = {
    answer: () => { if (phone.call) { show("connectingIncoming"); phone.answer(); } },
    skip: () => phone.hangUp(),
    hangup: () => phone.hangUp(),
    close: () => phone.hangUp(),
    mute: (muted) => phone.mute(muted),
    hold: (held) => phone.hold(held),
    dialpad: (keys) => phone.press(keys),
    transfer,
    cancelTransfer: () => { told = ""; refresh(); },
};
BX24.init(() => {
    BX24.placement.bindEvent("BackgroundCallCard::initialized", (data) => {
        card = data ?? {};
        told = "";
        refresh();
    });
    for (const [button, deed] of Object.entries(pressed)) BX24.placement.bindEvent(`BackgroundCallCard::${button}ButtonClick`, deed);
    phone.on();
});
window.addEventListener("pagehide", () => { phone.off(); });
