import { Accordion, Anchor, Badge, Code, Group, Stack, Table, Text, TextInput, Title } from '@mantine/core'
import { IconSearch } from '@tabler/icons-react'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Answer } from '../../parts/answer'
import { Copy } from '../../parts/copy'
import { Empty, Page } from '../../parts/page'
import { Wide } from '../../parts/wide'
import { groupsOf, limitsOf, nameOf, type OpenAPI, resolve, type Route, type Schema, typeOf } from './document'

const colors: Record<string, string> = { GET: 'blue', POST: 'green', PUT: 'yellow', PATCH: 'yellow', DELETE: 'red' }

/** Reference shows the OpenAPI document of this server in a form that people read. */
export default function Reference() {
  const [words, setWords] = useState('')
  const query = useQuery({
    queryKey: ['openapi'],
    // The document is not in itself, so the typed client does not know its path.
    queryFn: async () => (await (await fetch('/v1/openapi.json')).json()) as OpenAPI,
    staleTime: Infinity,
  })
  return (
    <Page
      title="API"
      about={
        <>
          Everything that the dashboard does, a program can do: it asks <Code>/v1</Code> alone. Keys are made under Settings. The document itself:{' '}
          <Anchor href="/v1/openapi.json">JSON</Anchor>, <Anchor href="/v1/openapi.yaml">YAML</Anchor>.
        </>
      }
    >
      <TextInput
        value={words} onChange={(e) => setWords(e.currentTarget.value)} leftSection={<IconSearch size={16} aria-hidden />} aria-label="Find an operation"
        placeholder="Find an operation: a path, a word, a method" maw={480}
      />
      <Answer query={query} lines={8}>
        {(doc) => {
          const groups = groupsOf(doc, words)
          if (groups.length === 0) return <Empty title="No operation has these words">Try fewer of them, or a part of a path such as “sources”.</Empty>
          return (
            <Stack gap="lg">
              {groups.map((g) => (
                <section key={g.tag} aria-labelledby={`tag-${g.tag}`}>
                  <Title order={2} size="h4" id={`tag-${g.tag}`} tt="capitalize">
                    {g.tag}
                  </Title>
                  {g.description && (
                    <Text size="sm" c="dimmed" mb="xs">
                      {g.description}
                    </Text>
                  )}
                  <Accordion variant="separated" chevronPosition="left" order={3}>
                    {g.routes.map((r) => (
                      <Accordion.Item key={r.operation.operationId} value={r.operation.operationId}>
                        <Accordion.Control>
                          <Group gap="xs">
                            <Badge color={colors[r.method]} variant="light" w={72}>
                              {r.method}
                            </Badge>
                            <Text span className="mono foreign">
                              {r.path}
                            </Text>
                            <Text span size="sm" c="dimmed">
                              {r.operation.summary}
                            </Text>
                          </Group>
                        </Accordion.Control>
                        <Accordion.Panel>
                          <OneRoute doc={doc} route={r} />
                        </Accordion.Panel>
                      </Accordion.Item>
                    ))}
                  </Accordion>
                </section>
              ))}
            </Stack>
          )
        }}
      </Answer>
    </Page>
  )
}

function OneRoute({ doc, route: { method, path, operation } }: { doc: OpenAPI; route: Route }) {
  const body = operation.requestBody?.content['application/json']?.schema
  const answers = Object.entries(operation.responses).filter(([status]) => status !== 'default')
  const curl = `curl ${method === 'GET' ? '' : `-X ${method} `}${location.origin}${path} -H "Authorization: Bearer $KEY"${body ? ` -H 'Content-Type: application/json' -d '{…}'` : ''}`
  return (
    <Stack gap="sm">
      {operation.description && <Text size="sm">{operation.description}</Text>}
      <Group gap={4} wrap="nowrap">
        <Code block className="foreign" flex={1}>
          {curl}
        </Code>
        <Copy text={curl} what="the command" />
      </Group>
      {operation.parameters && operation.parameters.length > 0 && (
        <FieldTable
          title="Parameters"
          rows={operation.parameters.map((p) => ({ name: p.name, schema: p.schema, required: p.required, about: p.description ?? p.schema.description, where: p.in }))}
        />
      )}
      {body && <Shape doc={doc} schema={body} title="Body" />}
      {answers.map(([status, answer]) => {
        const schema = answer.content?.['application/json']?.schema
        return schema ? <Shape key={status} doc={doc} schema={schema} title={`Answer ${status}`} /> : <Text key={status} size="sm"><b>Answer {status}</b>: {answer.description}</Text>
      })}
    </Stack>
  )
}

function Shape({ doc, schema, title }: { doc: OpenAPI; schema: Schema; title: string }) {
  const found = resolve(doc, schema)
  const name = nameOf(schema)
  const rows = Object.entries(found.properties ?? {})
    .filter(([field]) => field !== '$schema')
    .map(([field, s]) => ({ name: field, schema: s, required: found.required?.includes(field), about: s.description ?? resolve(doc, s).description }))
  return rows.length > 0 ? <FieldTable title={name ? `${title}: ${name}` : title} rows={rows} doc={doc} /> : <Text size="sm"><b>{title}</b>: {typeOf(schema)}</Text>
}

interface FieldRow {
  name: string
  schema: Schema
  required?: boolean
  about?: string
  where?: string
}

function FieldTable({ title, rows, doc }: { title: string; rows: FieldRow[]; doc?: OpenAPI }) {
  const [open, setOpen] = useState<string | null>(null)
  return (
    <div>
      <Text fw={600} size="sm">
        {title}
      </Text>
      <Wide minWidth={480}>
        <Table verticalSpacing={4} aria-label={title}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Name</Table.Th>
              <Table.Th scope="col">Type</Table.Th>
              <Table.Th scope="col">Meaning</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((r) => {
              const inner = doc && nameOf(r.schema.items ?? r.schema)
              return (
                <Table.Tr key={r.name + (r.where ?? '')}>
                  <Table.Td className="mono">
                    {r.name}
                    {r.required && <Text span size="xs" c="dimmed"> required</Text>}
                  </Table.Td>
                  <Table.Td>
                    {inner ? (
                      <Anchor component="button" size="sm" ta="start" onClick={() => setOpen(open === r.name ? null : r.name)} aria-expanded={open === r.name}>
                        {typeOf(r.schema)}
                      </Anchor>
                    ) : (
                      typeOf(r.schema)
                    )}
                    {r.where && <Text size="xs" c="dimmed">{r.where}</Text>}
                  </Table.Td>
                  <Table.Td>
                    {r.about}
                    <Text size="xs" c="dimmed">
                      {limitsOf(r.schema)}
                    </Text>
                    {doc && inner && open === r.name && <Shape doc={doc} schema={r.schema.items ?? r.schema} title="Holds" />}
                  </Table.Td>
                </Table.Tr>
              )
            })}
          </Table.Tbody>
        </Table>
      </Wide>
    </div>
  )
}
