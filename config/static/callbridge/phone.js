// A SIP phone: registers by WebSocket, and has one call at a time. It knows nothing of the page around it.
import { Inviter, Registerer, RegistererState, SessionState, UserAgent } from "./vendor/sip.js";

const LIVES = 120, PATIENCE = 8, RETRIES = [1, 2, 5, 10, 20, 30];
/** Why the PBX did not take a call, by its SIP status. */
const REASONS = { 404: "number", 484: "number", 480: "nobody", 408: "nobody", 486: "busy", 600: "busy" };

/**
 * `state`: off, connecting, ready, elsewhere (another page has it), trouble (see `trouble`: insecure, denied,
 * microphone, password, unknown, refused, unreachable, account).
 * `call`: null, or { incoming, number, name, state: ringing | dialling | talking, since, held, muted }.
 * Tells by events: "state", "call", and "ended" with the reason why a call was not made, if there is one.
 */
export class Phone extends EventTarget {
    state = "off";
    trouble = "";
    call = null;
    #agent = null;
    #registerer = null;
    #session = null;
    #release = null;
    #account = null;
    #waiting = null;
    #tries = 0;
    #retry = 0;

    /** `key` names the account among the pages of this browser, `account` asks for it, `sound` plays the far end. */
    constructor({ key, account, sound }) {
        super();
        this.key = key;
        this.askAccount = account;
        this.sound = sound;
        this.microphone = "";
    }

    // --- On and off

    async on() {
        if (this.state !== "off" && this.state !== "trouble") return;
        await this.off();
        if (!window.isSecureContext || !navigator.mediaDevices) return this.#fail("insecure");
        this.#become("connecting");
        const fault = await this.#tryMicrophone();
        if (this.state !== "connecting") return;
        if (fault) return this.#fail(fault);
        if (await this.#alone() && this.state !== "off") await this.#open();
    }

    async off() {
        clearTimeout(this.#retry);
        this.#waiting?.abort();
        this.#become("off");
        await this.hangUp();
        const agent = this.#agent;
        this.#agent = this.#registerer = null;
        await agent?.stop().catch(() => {});
        this.#release?.();
        this.#release = null;
    }

    /** Whether this page has the phone: of several only one registers, the others wait for it. */
    #alone() {
        this.#waiting = new AbortController();
        return new Promise((has) => {
            const held = () => new Promise((release) => {
                this.#release = release;
                if (this.state === "elsewhere") this.#become("connecting");
                has(true);
            });
            const name = `callbridge-phone-${this.key}`;
            navigator.locks.request(name, { ifAvailable: true }, (lock) => {
                if (lock) return held();
                this.#become("elsewhere");
                navigator.locks.request(name, { signal: this.#waiting.signal }, held).catch(() => has(false));
                return undefined;
            });
        });
    }

    async #tryMicrophone() {
        try {
            for (const track of (await navigator.mediaDevices.getUserMedia(this.#media())).getTracks()) track.stop();
            return "";
        } catch (error) {
            return ["NotAllowedError", "SecurityError"].includes(error.name) ? "denied" : "microphone";
        }
    }

    #media() {
        return { audio: this.microphone ? { deviceId: this.microphone } : true, video: false };
    }

    // --- The line to the PBX

    async #open() {
        try {
            this.#account = await this.askAccount();
        } catch {
            return this.#later("unreachable", () => this.#open());
        }
        const { address, domain, extension, login, password } = this.#account ?? {};
        if (!address) return this.#fail("account");
        const agent = new UserAgent({
            uri: UserAgent.makeURI(`sip:${extension}@${domain}`),
            authorizationUsername: login,
            authorizationPassword: password,
            transportOptions: { server: address, connectionTimeout: PATIENCE },
            sessionDescriptionHandlerFactoryOptions: { iceGatheringTimeout: 1000, peerConnectionConfiguration: { iceServers: [] } },
            logLevel: "error",
            logBuiltinEnabled: false,
            delegate: {
                onInvite: (session) => this.#rings(session),
                onDisconnect: (error) => { if (error && agent === this.#agent) this.#reconnect(); },
            },
        });
        this.#agent = agent;
        this.#registerer = new Registerer(agent, { expires: LIVES });
        this.#registerer.stateChange.addListener((state) => {
            // The PBX has forgotten us, or did not renew.
            if (agent === this.#agent && state === RegistererState.Unregistered && this.state === "ready") this.#later("refused", () => this.#register());
        });
        await this.#connect(() => agent.start());
    }

    #reconnect() {
        return this.#connect(() => this.#agent.reconnect());
    }

    async #connect(connect) {
        if (this.state === "off") return;
        this.#become("connecting");
        try {
            await connect();
        } catch {
            return this.#later("unreachable", () => this.#reconnect());
        }
        await this.#register();
    }

    /** From the beginning, unless that would end a call. */
    async #again() {
        if (this.call) return this.#reconnect();
        this.#agent?.stop().catch(() => {});
        return this.#open();
    }

    #register() {
        // A PBX that has just started takes the line before it speaks SIP.
        const waiting = setTimeout(() => this.#later("unreachable", () => this.#again()), 1000 * PATIENCE);
        const onAccept = () => {
            clearTimeout(waiting);
            this.#tries = 0;
            if (this.state !== "off") this.#become("ready");
        };
        const onReject = ({ message: { statusCode } }) => {
            clearTimeout(waiting);
            if (statusCode === 401 || statusCode === 407) this.#fail("password");
            else if (statusCode === 403 || statusCode === 404) this.#fail("unknown");
            else this.#later("refused", () => this.#register());
        };
        return this.#registerer?.register({ requestDelegate: { onAccept, onReject } }).catch(() => this.#later("refused", () => this.#register()));
    }

    /** Something that may pass: shown, and tried again. */
    #later(trouble, again) {
        if (this.state === "off") return;
        this.#fail(trouble);
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => { if (this.state !== "off") again(); }, 1000 * RETRIES[Math.min(this.#tries++, RETRIES.length - 1)]);
    }

    #fail(trouble) {
        this.#become("trouble", trouble);
    }

    #become(state, trouble = "") {
        if (state === this.state && trouble === this.trouble) return;
        [this.state, this.trouble] = [state, trouble];
        this.dispatchEvent(new Event("state"));
    }

    // --- A call

    /** Call a number as one would on a telephone's keys: these have no plus. */
    async dial(number) {
        const digits = number.replace(/[^0-9*#]/g, "");
        if (this.state !== "ready" || this.call || !digits) return;
        const session = new Inviter(this.#agent, UserAgent.makeURI(`sip:${encodeURIComponent(digits)}@${this.#account.domain}`), {
            sessionDescriptionHandlerOptions: { constraints: this.#media() },
        });
        this.#take(session, { incoming: false, number: digits, name: "", state: "dialling" });
        const onReject = ({ message: { statusCode } }) => this.#note(statusCode === 487 ? "" : REASONS[statusCode] ?? "failed");
        try {
            await session.invite({ requestDelegate: { onReject } });
        } catch {
            this.#note("sound");
            this.#over(session);
        }
    }

    async answer() {
        if (this.call?.state !== "ringing") return;
        const session = this.#session;
        try {
            await session.accept({ sessionDescriptionHandlerOptions: { constraints: this.#media() } });
        } catch {
            this.#note("sound");
            await session.reject({ statusCode: 480 }).catch(() => {});
            this.#over(session);
        }
    }

    /** End the call, whatever it does: refuse it, give it up, put the phone down. */
    async hangUp() {
        const session = this.#session;
        if (!session) return;
        const end = {
            [SessionState.Initial]: () => (this.call.incoming ? session.reject({ statusCode: 486 }) : session.dispose()),
            [SessionState.Establishing]: () => (this.call.incoming ? session.reject({ statusCode: 480 }) : session.cancel()),
            [SessionState.Established]: () => session.bye(),
        }[session.state];
        await Promise.resolve(end?.()).catch(() => this.#over(session));
    }

    mute(muted) {
        if (this.call?.state !== "talking") return;
        this.#change({ muted });
        this.#openMicrophone();
    }

    async hold(held) {
        if (this.call?.state !== "talking" || this.call.held === held) return;
        const session = this.#session;
        session.sessionDescriptionHandlerOptionsReInvite = { constraints: this.#media(), hold: held };
        const done = new Promise((accepted) => {
            const requestDelegate = { onAccept: () => accepted(true), onReject: () => accepted(false) };
            session.invite({ requestDelegate }).catch(() => accepted(false));
        });
        if (await done && session === this.#session) {
            this.#change({ held });
            this.#openMicrophone();
        }
    }

    /** Keys during a conversation. */
    press(keys) {
        if (this.call?.state === "talking") this.#session.sessionDescriptionHandler.sendDtmf(keys);
    }

    /** Hand the other end on to an extension; tells whether the PBX took it. */
    transfer(extension) {
        if (this.call?.state !== "talking") return Promise.resolve(false);
        return new Promise((taken) => {
            const requestDelegate = { onAccept: () => taken(true), onReject: () => taken(false) };
            this.#session.refer(UserAgent.makeURI(`sip:${extension}@${this.#account.domain}`), { requestDelegate }).catch(() => taken(false));
        });
    }

    #rings(session) {
        if (this.call) return session.reject({ statusCode: 486 });
        const { uri, displayName } = session.remoteIdentity;
        return this.#take(session, { incoming: true, number: uri.user ?? "", name: displayName === uri.user ? "" : displayName, state: "ringing" });
    }

    #take(session, call) {
        this.#session = session;
        session.stateChange.addListener((state) => {
            if (state === SessionState.Established) this.#talks(session);
            else if (state === SessionState.Terminated) this.#over(session);
        });
        this.#reason = "";
        this.call = { ...call, since: Date.now(), held: false, muted: false };
        this.#tellCall();
    }

    #talks(session) {
        const line = session.sessionDescriptionHandler.peerConnection;
        this.sound.srcObject = new MediaStream(line.getReceivers().map((receiver) => receiver.track));
        this.sound.play().catch(() => {});
        // Packets that find no way: nobody hears anybody, so the call is no call.
        line.addEventListener("connectionstatechange", () => {
            if (line.connectionState === "failed" && session === this.#session) {
                this.#note("sound");
                this.hangUp();
            }
        });
        this.#change({ state: "talking", since: Date.now() });
    }

    #over(session) {
        if (session !== this.#session) return;
        this.#session = this.call = null;
        this.sound.srcObject = null;
        this.#tellCall();
        // The library tells of the end first, and why in the same breath.
        queueMicrotask(() => this.dispatchEvent(new CustomEvent("ended", { detail: this.#reason })));
    }

    #reason = "";

    #note(reason) {
        this.#reason ||= reason;
    }

    #openMicrophone() {
        const open = !this.call.muted && !this.call.held;
        for (const { track } of this.#session.sessionDescriptionHandler.peerConnection.getSenders()) if (track) track.enabled = open;
    }

    #change(what) {
        Object.assign(this.call, what);
        this.#tellCall();
    }

    #tellCall() {
        this.dispatchEvent(new Event("call"));
    }
}
