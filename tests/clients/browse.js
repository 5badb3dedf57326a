// Chromium, driven through the page as a person would: signs in with a wrong password and the right one, looks, acknowledges
// an alarm, signs out. Its one line of output is what it saw, as JSON. What the page's policy stopped, and what went wrong in a
// script, is told by the browser itself.
//
// In the environment: CHROMIUM, PAGE (its address, with a slash at the end), NAME, PASSWORD.

const puppeteer = require('puppeteer-core')

const { CHROMIUM: executablePath, PAGE: page, NAME: name, PASSWORD: password } = process.env
// Far beyond what anything here takes.
const timeout = 60000

let tab
// Whatever the browser complains of, wherever it happens.
const complaints = []

async function run (browser) {
  tab = await browser.newPage()
  tab.setDefaultTimeout(timeout)
  const complain = (text) => complaints.push(text)
  tab.on('console', (message) => { if (['error', 'warn'].includes(message.type())) complain(message.text()) })
  tab.on('pageerror', (error) => complain(String(error)))
  const complaintsSoFar = () => complaints.splice(0)

  const path = () => new URL(tab.url()).pathname
  const signIn = async (given) => {
    await tab.type('input[name=name]', name)
    await tab.type('input[name=password]', given)
    await Promise.all([tab.waitForNavigation(), tab.click('button')])
  }
  const saw = {}
  await tab.goto(page)
  saw.first = path()
  saw.styled = await tab.evaluate(() => [...document.styleSheets].some((sheet) => sheet.cssRules.length > 0))
  saw.quietAtFirst = complaintsSoFar()
  await signIn('not the password at all')
  saw.refused = await tab.$eval('.notice', (notice) => notice.textContent.trim())
  // A status of 401 is told as an error of the console's.
  saw.complaintsOfTheRefusal = complaintsSoFar()
  await signIn(password)
  await tab.waitForFunction(() => /^[1-9]/.test(document.getElementById('measured').textContent))
  await tab.waitForSelector('#who:not([hidden])')
  await tab.waitForSelector('#devices svg')
  await tab.waitForFunction(() => document.getElementById('link').textContent === 'live')
  saw.signedIn = path()
  saw.who = await tab.$eval('#who-name', (who) => who.textContent)
  saw.readableCookies = await tab.evaluate(() => document.cookie)
  saw.quietOnThePage = complaintsSoFar()
  // An alarm that has gone on since it was shown is not acknowledged as what it was (409).
  do {
    const answered = tab.waitForResponse((response) => response.url().endsWith('/acknowledge'))
    await tab.waitForFunction(() => {
      const button = document.querySelector('#alarm-list .act:not([disabled])')
      button?.click()
      return button !== null
    })
    saw.acknowledged = (await answered).status()
  } while (saw.acknowledged === 409)

  // The policy is in force: what somebody may have brought in does not run, and tells nobody.
  saw.brought = await tab.evaluate(async () => {
    const stopped = []
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => stopped.push(effectiveDirective))
    const script = document.createElement('script')
    script.textContent = 'window.ran = true'
    document.body.append(script)
    const handler = document.createElement('div')
    handler.setAttribute('onclick', 'window.ran = true')
    document.body.append(handler)
    handler.click()
    const image = new Image()
    image.src = 'https://127.0.0.1:9/told'
    const fetched = await fetch('https://127.0.0.1:9/told').then(() => 'answered', () => 'stopped')
    // They are told when the browser comes to it.
    const waited = Date.now() + 10000
    while (new Set(stopped).size < 4 && Date.now() < waited) await new Promise((resolve) => setTimeout(resolve, 20))
    return { ran: window.ran === true, fetched, stopped: [...new Set(stopped)].sort() }
  })

  const frame = await browser.newPage()
  await frame.setContent(`<iframe src="${page}login"></iframe>`)
  const inside = frame.frames().find((each) => each.parentFrame())
  saw.framed = await inside.$('input[name=password]') !== null
  await frame.close()

  await Promise.all([tab.waitForNavigation(), tab.click('#who button')])
  saw.signedOut = path()
  await tab.goto(page)
  saw.afterwards = path()
  return saw
}

async function main () {
  // The authority is the test's own; root may not use the browser's sandbox; containers have little shared memory.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--no-first-run']
  const browser = await puppeteer.launch({ executablePath, args, acceptInsecureCerts: true, timeout })
  try {
    console.log(JSON.stringify(await run(browser)))
  } catch (error) {
    console.error('at', tab && tab.url(), 'where it reads:', tab && await tab.evaluate(() => document.body.innerText), complaints)
    throw error
  } finally {
    await browser.close()
  }
}

main().catch((error) => { console.error(error); process.exitCode = 1 })
