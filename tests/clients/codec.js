// npm mqtt-packet as a codec to compare ours with. One JSON object a line comes in, one goes out for each:
//   {"encode": PACKET}  →  {"bytes": HEX} or {"error": TEXT}
//   {"decode": HEX}     →  {"packet": PACKET}, {"error": TEXT}, or {"waits": true} where more bytes are needed
// In a PACKET payloads and passwords are hexadecimal, and what is absent is null.

const readline = require('readline')
const mqtt = require('mqtt-packet')

const hex = (buffer) => (buffer === undefined || buffer === null ? null : Buffer.from(buffer).toString('hex'))
const bytes = (text) => (text === null ? undefined : Buffer.from(text, 'hex'))
const absent = (value) => (value === undefined ? null : value)

function shown (packet) {
  const { cmd: type, messageId: id } = packet
  switch (type) {
    case 'connect': {
      const { protocolId, protocolVersion, clean, keepalive, clientId } = packet
      const will = packet.will ? { ...packet.will, payload: hex(packet.will.payload) } : null
      const [username, password] = [absent(packet.username), hex(packet.password)]
      const bridge = packet.bridgeMode === true
      return { type, protocolId, protocolVersion, bridge, clean, keepalive, clientId, will, username, password }
    }
    case 'connack': return { type, sessionPresent: packet.sessionPresent, returnCode: packet.returnCode }
    case 'publish': {
      const { topic, qos, retain, dup } = packet
      return { type, topic, payload: hex(packet.payload), qos, retain, dup, id: absent(id) }
    }
    case 'subscribe': return { type, id, filters: packet.subscriptions.map(({ topic, qos }) => [topic, qos]) }
    case 'unsubscribe': return { type, id, filters: packet.unsubscriptions }
    case 'suback': return { type, id, codes: packet.granted }
    case 'pingreq': case 'pingresp': case 'disconnect': return { type }
    default: return { type, id }
  }
}

function theirs (packet) {
  const { type: cmd, id: messageId, ...rest } = packet
  const made = { cmd, ...rest }
  if (messageId !== undefined && messageId !== null) made.messageId = messageId
  if (cmd === 'publish') made.payload = bytes(packet.payload)
  if (cmd === 'subscribe') made.subscriptions = packet.filters.map(([topic, qos]) => ({ topic, qos }))
  if (cmd === 'unsubscribe') made.unsubscriptions = packet.filters
  if (cmd === 'connect') {
    made.will = packet.will ? { ...packet.will, payload: bytes(packet.will.payload) } : undefined
    made.username = packet.username === null ? undefined : packet.username
    made.password = bytes(packet.password)
  }
  return made
}

function decode (text) {
  const parser = mqtt.parser({ protocolVersion: 4 })
  let answer = { waits: true }
  parser.on('packet', (packet) => { answer = { packet: shown(packet) } })
  parser.on('error', (error) => { answer = { error: error.message } })
  parser.parse(Buffer.from(text, 'hex'))
  return answer
}

function answer (line) {
  try {
    const { encode, decode: text } = JSON.parse(line)
    return encode ? { bytes: hex(mqtt.generate(theirs(encode), { protocolVersion: 4 })) } : decode(text)
  } catch (error) {
    return { error: error.message }
  }
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(JSON.stringify(answer(line)) + '\n')
})
