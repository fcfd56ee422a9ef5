// The bot: answers to messages that begin with "@bot", streamed token by token over a connection of their own.
//
// An answer is {name, prompt, text, tool, state, note}. The states:
//   asked      nothing has come yet
//   streaming  there is more to come
//   ended      `note` says why, unless the answer is complete
//   unknown    the server doesn't have it, or has no bot
//
// Only the user who asks reads an answer. It is named after the position of the message that asks, which is the same in
// every tab, so a second tab reads along and the model is asked once.

import { Connection } from "./connection.js";
import { Throttle } from "./throttle.js";

const REQUEST_INTERVAL = 300; // milliseconds between two requests; a server allows 5 a second by default
const PREFIX = /^@bot\b[\s,:]*/i;
const NOTES = {
  stopped: "Stopped.",
  left: "Stopped, because nobody was reading.",
  length: "This is the longest answer that is allowed.",
  interrupted: "The server stopped in the middle of it.",
  model: "The model failed.",
  budget: "You have used up what you may ask today.",
};

// Return what a message asks the bot, or an empty text.
export function promptIn(text) {
  return PREFIX.test(text) ? text.replace(PREFIX, "").trim() : "";
}

export class Bot {
  #connection;
  #onChange;
  #isChatOpen;
  #answers = new Map(); // name: an answer that hasn't ended
  #throttle = new Throttle(REQUEST_INTERVAL);
  #wasOpen = false;

  // `onChange` is called with an answer that has changed; `isChatOpen` says whether the server can be reached at all.
  constructor(getEndpoint, { onChange, isChatOpen }) {
    this.#onChange = onChange;
    this.#isChatOpen = isChatOpen;
    this.#connection = new Connection(getEndpoint);
    this.#connection.addEventListener("message", ({ detail }) => this.#onMessage(detail));
    this.#connection.addEventListener("state", ({ detail }) => this.#onState(detail.state));
  }

  // Read an answer; ask the model for it if `mayAsk`, otherwise only if the server has it still.
  read(name, prompt, mayAsk) {
    const answer = { name, prompt, mayAsk, text: "", tool: "", state: "asked", note: "", position: null };
    this.#answers.set(name, answer);
    if (this.#connection.state === "stopped") this.#connection.connect();
    else if (this.#connection.state === "open") this.#request(answer); // otherwise as soon as it is
    return answer;
  }

  stop(answer) {
    this.#connection.send({ type: "stop", answer: answer.name });
  }

  // Forget every answer, because the user logs out; without a reader, the model stops.
  close() {
    this.#answers.clear();
    this.#throttle.clear();
    this.#connection.close();
  }

  #request(answer) {
    const { name, prompt, mayAsk, position: after } = answer;
    this.#throttle.add(() => {
      if (this.#answers.get(name) !== answer) return;
      const message = after || !mayAsk ? { type: "resume", ...(after && { after }) } : { type: "ask", prompt };
      this.#connection.send({ ...message, answer: name, id: name });
    });
  }

  #onState(state) {
    if (state === "open") {
      this.#wasOpen = true;
      for (const answer of this.#answers.values()) this.#request(answer);
      return;
    }
    this.#throttle.clear();
    const isRefused = state === "login" || (state === "waiting" && !this.#wasOpen && this.#isChatOpen());
    if (isRefused) for (const answer of [...this.#answers.values()]) this.#end(answer, "unknown", "There is no bot here.");
  }

  #onMessage({ type, answer: name, id, ...piece }) {
    const answer = this.#answers.get(name ?? id);
    if (!answer) return;
    answer.position = piece.position ?? answer.position;
    if (type === "error") this.#end(answer, "unknown", `The bot can't answer: expected ${piece.expected}.`);
    else if (type === "end" || type === "failed") this.#end(answer, "ended", NOTES[piece.reason] ?? "");
    else {
      if (type === "text") answer.text += piece.text;
      if (type === "tool_call") answer.tool = piece.name;
      answer.state = "streaming";
      this.#onChange(answer);
    }
  }

  #end(answer, state, note) {
    this.#answers.delete(answer.name);
    Object.assign(answer, { state, note });
    this.#onChange(answer);
    if (!this.#answers.size) this.#connection.close(); // it counts as one of the user's connections
  }
}
