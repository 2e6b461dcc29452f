import { Alert, Badge, Button, Card, Code, Group, Mark, Stack, Text, Title } from '@mantine/core'
import { IconAlertTriangle, IconX } from '@tabler/icons-react'
import type { Preview as Answer } from './data'
import { rendered } from './macros'

type Problem = Answer['problems'][number]

// In brackets, problems name fields of the API, which have other names on this page.
const asked = / \((?:`signed`: true|event_types|values)\)/g

/** A Fix is what one press can do about a problem. */
interface Fix {
  label: string
  url: string
}

/** fixOf finds a fix in the words of a problem: the macro that was meant, or a parameter that is missing. */
function fixOf(problem: Problem, url: string): Fix | undefined {
  const meant = /unknown macro (\S+): did you mean (\S+)\?/.exec(problem.message)
  if (meant && url.includes(meant[1]!)) return { label: `Write ${meant[2]}`, url: url.replace(meant[1]!, () => meant[2]!) }
  const missing = /&([\w.-]+)=(\S+?)(?=[\s,:;.]|$)/.exec(problem.message)
  if (missing && problem.field === 'url' && !url.includes(missing[2]!) && missing[2] !== '…') {
    const added = `${missing[1]}=${missing[2]}`
    const signed = /[?&]\w+=\{signature\}$/.exec(url)
    if (signed) return { label: `Add &${added}`, url: `${url.slice(0, signed.index + 1)}${added}&${url.slice(signed.index + 1)}` }
    return { label: `Add &${added}`, url: `${url}${url.includes('?') ? '&' : '?'}${added}` }
  }
  return undefined
}

/** Preview shows what the template would send, with sample values in place of macros, and what is wrong with it. */
export function Preview(props: { url: string; answer?: Answer; problems: Problem[]; stale: boolean; fix: (url: string) => void; disabled?: boolean }) {
  const { answer, problems } = props
  const parts = answer?.url ? rendered(props.url, answer.url, answer.macros.filter((m) => m.where === 'url')) : []
  return (
    <Card withBorder padding="sm" component="section" aria-label="What your server would get" aria-busy={props.stale}>
      <Stack gap="xs">
        <Group justify="space-between">
          <Title order={3} size="h5">
            What your server would get
          </Title>
          {answer?.url && (
            <Badge variant="light" color={answer.signed ? 'green' : 'gray'} tt="none">
              {answer.signed ? 'signed' : 'not signed'}
            </Badge>
          )}
        </Group>
        {answer?.url ? (
          <>
            <Code block className="foreign" tabIndex={0} aria-label="The request with sample values" data-rendered>
              <b>{answer.method}</b>{' '}
              {parts.map((p, i) =>
                p.macro ? (
                  <Mark key={i} title={p.macro} color="blue">
                    {p.text}
                  </Mark>
                ) : (
                  <span key={i} title={p.masked ? 'hidden: it may be a secret' : undefined}>{p.text}</span>
                ),
              )}
              {answer.headers.map((h) => `\n${h.name}: ${h.value}`).join('')}
              {answer.body ? `\n\n${answer.body}` : ''}
            </Code>
            <Text size="xs" c="dimmed">
              Marked: sample values in place of macros.
            </Text>
          </>
        ) : (
          <Text size="sm" c="dimmed">
            {props.url ? 'Nothing, while there is a fault.' : 'Write the URL of your server, and it shows here.'}
          </Text>
        )}
        <div role="status" aria-label="Problems">
          <Stack gap={6}>
            {problems.map((p) => {
              const fix = props.disabled ? undefined : fixOf(p, props.url)
              const fault = p.level === 'fault'
              return (
                <Alert
                  key={p.level + (p.field ?? '') + p.message} color={fault ? 'red' : 'yellow'} p="xs" icon={fault ? <IconX aria-hidden size={16} /> : <IconAlertTriangle aria-hidden size={16} />}
                  data-level={p.level}
                >
                  <Text size="sm" className="foreign">
                    <b>{fault ? 'Fault' : 'Warning'}</b>
                    {p.field && p.field !== 'url' && ` in ${p.field}`}: {p.message.replace(asked, '')}
                  </Text>
                  {fix && (
                    <Button size="compact-xs" variant="default" mt={4} h="auto" maw="100%" py={3} styles={{ label: { whiteSpace: 'normal', overflowWrap: 'anywhere', height: 'auto', lineHeight: 1.3, overflow: 'visible' } }} onClick={() => props.fix(fix.url)}>
                      {fix.label}
                    </Button>
                  )}
                </Alert>
              )
            })}
          </Stack>
        </div>
      </Stack>
    </Card>
  )
}
